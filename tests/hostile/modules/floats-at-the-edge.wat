;; Rounding to even, numbers below the normal ones, signed zeros, and conversions that saturate: where processors and
;; compilers like to differ.
;; expect: replaced 0x00000000000000c00000000000000040010000000000000000000080ffffff7f000000000000008000000000ffffffffffffffff000000000000000001000000
(module
  (memory (export "memory") 1)
  (func (export "dseq_abi_v1"))
  (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
  (func (export "dseq_apply") (param i32) (result i64)
    (f64.store (i32.const 4096) (f64.nearest (f64.const -2.5)))
    (f64.store (i32.const 4104) (f64.nearest (f64.const 1.5)))
    (f64.store (i32.const 4112) (f64.div (f64.const 0x1p-1073) (f64.const 2)))
    (f32.store (i32.const 4120) (f32.min (f32.const 0) (f32.const -0)))
    (i32.store (i32.const 4124) (i32.trunc_sat_f32_s (f32.const inf)))
    (i32.store (i32.const 4128) (i32.trunc_sat_f64_u (f64.const nan)))
    (i32.store (i32.const 4132) (i32.trunc_sat_f64_s (f64.const -1e300)))
    (f32.store (i32.const 4136) (f32.max (f32.const 0) (f32.const -0)))
    (i64.store (i32.const 4140) (i64.trunc_sat_f64_u (f64.const 1e300)))
    (i64.store (i32.const 4148) (i64.trunc_sat_f32_u (f32.const -1)))
    (i32.store (i32.const 4156) (i32.eqz (f64.eq (f64.const nan) (f64.const nan))))
    (i64.const 0x0002000000000040))
  (func (export "dseq_output") (result i32) (i32.const 4096)))
