;; Is a module of nothing.
;; expect: refused "does not export \"memory\", which ABI v1 asks for as a memory"
(module)
