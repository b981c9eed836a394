;; Asks the host for the time.
;; expect: refused "imports \"env\" \"now\", but a plugin has no imports"
(module (import "env" "now" (func (result i64))) (memory (export "memory") 1))
