;; Moves NaNs with payloads about, by instructions that must keep their bits but for the sign.
;; expect: replaced 0x0100a0ff0100a07f0100a07f0100a0ff0100a0ff
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (local $odd f32)
    (local.set $odd (f32.reinterpret_i32 (i32.const 0xffa00001)))
    (f32.store (i32.const 4096) (local.get $odd))
    (f32.store (i32.const 4100) (f32.neg (f32.load (i32.const 4096))))
    (f32.store (i32.const 4104) (f32.abs (local.get $odd)))
    (f32.store (i32.const 4108) (f32.copysign (f32.load (i32.const 4104)) (f32.const -1)))
    (f32.store (i32.const 4112) (select (local.get $odd) (f32.const 1) (i32.const 1)))
    (i64.const 0x0002000000000014))
  (func (export "dseq_output") (result i32) (i32.const 4096)))
