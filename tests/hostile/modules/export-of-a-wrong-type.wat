;; Exports the marker as a memory, and the memory as a global.
;; expect: refused "exports \"memory\" as an immutable global of type i32, but ABI v1 asks for a memory"
(module
  (memory (export "dseq_abi_v1") 1)
  (global (export "memory") i32 (i32.const 0)))
