;; The plugin of the conformance suite by hand. What it does is told in src/lib.rs.
;;
;; The memory: words from 1024, the input from 65536, the output right after it.
(module
  (memory (export "memory") 2)
  (data (i32.const 1024) "this plugin takes no params; write {}")
  (data (i32.const 1088) "nobody knows this order")
  (data (i32.const 1152) "conformance.wat: as told")

  ;; Address and length of the words about a panic; the length is 0 until there is one.
  (data (i32.const 1216) "\80\04\00\00" "\00\00\00\00")
  (global (export "dseq_panic") i32 (i32.const 1216))

  (global $output (mut i32) (i32.const 0))

  (func (export "dseq_abi_v1"))

  ;; Grows the memory until it reaches to $end.
  (func $reserve (param $end i32)
    (local $missing i32)
    (local.set $missing
      (i32.sub
        (i32.shr_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1))
          (then unreachable)))))

  (func (export "dseq_buffer") (param $len i32) (result i32)
    (call $reserve (i32.add (i32.const 65536) (local.get $len)))
    (i32.const 65536))

  (func (export "dseq_output") (result i32)
    (global.get $output))

  ;; Rejects with so many bytes of words from $start.
  (func $reject (param $code i64) (param $start i32) (param $len i32) (result i64)
    (global.set $output (local.get $start))
    (i64.or
      (i64.const 0x0003_0000_0000_0000)
      (i64.or
        (i64.shl (local.get $code) (i64.const 32))
        (i64.extend_i32_u (local.get $len)))))

  ;; Replaces by the output behind the input.
  (func $replace (param $input_len i32) (param $output_len i32) (result i64)
    (global.set $output (i32.add (i32.const 65536) (local.get $input_len)))
    (i64.or (i64.const 0x0002_0000_0000_0000) (i64.extend_i32_u (local.get $output_len))))

  (func (export "dseq_init") (param $len i32) (result i64)
    ;; "{}" as a little-endian number.
    (if (i32.eq (local.get $len) (i32.const 2))
      (then
        (if (i32.eq (i32.load16_u (i32.const 65536)) (i32.const 0x7d7b))
          (then (return (i64.const 0x0001_0000_0000_0000))))))
    (call $reject (i64.const 1) (i32.const 1024) (i32.const 37)))

  (func $reverse (param $len i32) (result i64)
    (local $from i32) (local $to i32)
    (local.set $from (i32.add (i32.const 65536) (local.get $len)))
    (local.set $to (local.get $from))
    (call $reserve (i32.add (local.get $from) (local.get $len)))
    (loop $next
      (local.set $from (i32.sub (local.get $from) (i32.const 1)))
      (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br_if $next (i32.gt_u (local.get $from) (i32.const 65536))))
    (call $replace (local.get $len) (local.get $len)))

  (func $double (param $len i32) (result i64)
    (local $to i32)
    (local.set $to (i32.add (i32.const 65536) (local.get $len)))
    (call $reserve (i32.add (local.get $to) (i32.mul (local.get $len) (i32.const 2))))
    (memory.copy (local.get $to) (i32.const 65536) (local.get $len))
    (memory.copy (i32.add (local.get $to) (local.get $len)) (i32.const 65536) (local.get $len))
    (call $replace (local.get $len) (i32.mul (local.get $len) (i32.const 2))))

  (func (export "dseq_apply") (param $len i32) (result i64)
    (local $order i32)
    (local.set $order (i32.load8_u (i32.const 65536)))
    (if (i32.eq (local.get $order) (i32.const 0x61)) ;; a
      (then (return (i64.const 0x0001_0000_0000_0000))))
    (if (i32.eq (local.get $order) (i32.const 0x72)) ;; r
      (then (return (call $reverse (local.get $len)))))
    (if (i32.eq (local.get $order) (i32.const 0x64)) ;; d
      (then (return (call $double (local.get $len)))))
    (if (i32.eq (local.get $order) (i32.const 0x78)) ;; x
      (then (return (call $reject (i64.const 7) (i32.const 65536) (local.get $len)))))
    (if (i32.eq (local.get $order) (i32.const 0x65)) ;; e
      (then (return (call $reject (i64.const 999) (i32.const 0) (i32.const 0)))))
    (if (i32.eq (local.get $order) (i32.const 0x70)) ;; p
      (then
        (i32.store (i32.const 1220) (i32.const 24))
        unreachable))
    (if (i32.eq (local.get $order) (i32.const 0x74)) ;; t
      (then unreachable))
    (call $reject (i64.const 1) (i32.const 1088) (i32.const 23))))
