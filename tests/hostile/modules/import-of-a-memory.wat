;; Asks the host for its memory.
;; expect: refused "imports \"env\" \"memory\", but a plugin has no imports"
(module (import "env" "memory" (memory 1)) (export "memory" (memory 0)))
