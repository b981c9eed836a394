/* The plugin of the conformance suite in C, without a library. What it does is told in src/lib.rs.
 *
 *   clang --target=wasm32 -O2 -ffreestanding -fno-builtin -nostdlib \
 *     -Wl,--no-entry,--stack-first,-z,stack-size=16384,--export=dseq_panic -o conformance.wasm conformance.c
 */
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

#define PAGE_BYTES ((size_t)65536)

enum verdict { ACCEPT = 1, REPLACE = 2, REJECT = 3 };

/* Where the linker's data ends: the input lies there, and the output right behind it. */
extern uint8_t __heap_base;

/* Address and length of the words about a panic; the linker exports the address of this. */
uint32_t dseq_panic[2];

static const uint8_t *output;

void EXPORT(dseq_abi_v1)(void) {}

/* Grows the memory until it reaches to `end`. */
static void reserve(const uint8_t *end)
{
    size_t pages = ((size_t)end + PAGE_BYTES - 1) / PAGE_BYTES;
    size_t present = __builtin_wasm_memory_size(0);
    if (pages > present && __builtin_wasm_memory_grow(0, pages - present) == SIZE_MAX)
        __builtin_trap();
}

static uint64_t answer(enum verdict verdict, uint16_t code, const uint8_t *start, size_t len)
{
    output = start;
    return (uint64_t)verdict << 48 | (uint64_t)code << 32 | (uint64_t)len;
}

static uint64_t reject(uint16_t code, const char *words)
{
    size_t len = 0;
    while (words[len])
        len++;
    return answer(REJECT, code, (const uint8_t *)words, len);
}

_Noreturn static void stop(const char *words, size_t len)
{
    dseq_panic[0] = (uint32_t)(uintptr_t)words;
    dseq_panic[1] = (uint32_t)len;
    __builtin_trap();
}

uint8_t *EXPORT(dseq_buffer)(size_t len)
{
    reserve(&__heap_base + len);
    return &__heap_base;
}

const uint8_t *EXPORT(dseq_output)(void)
{
    return output;
}

uint64_t EXPORT(dseq_init)(size_t len)
{
    const uint8_t *params = &__heap_base;
    if (len == 2 && params[0] == '{' && params[1] == '}')
        return answer(ACCEPT, 0, NULL, 0);
    return reject(1, "this plugin takes no params; write {}");
}

static uint64_t reverse(const uint8_t *tx, size_t len)
{
    uint8_t *to = &__heap_base + len;
    reserve(to + len);
    for (size_t i = 0; i < len; i++)
        to[i] = tx[len - 1 - i];
    return answer(REPLACE, 0, to, len);
}

static uint64_t twice(const uint8_t *tx, size_t len)
{
    uint8_t *to = &__heap_base + len;
    reserve(to + 2 * len);
    for (size_t i = 0; i < len; i++)
        to[i] = to[len + i] = tx[i];
    return answer(REPLACE, 0, to, 2 * len);
}

uint64_t EXPORT(dseq_apply)(size_t len)
{
    static const char as_told[] = "conformance.c: as told";
    const uint8_t *tx = &__heap_base;
    switch (tx[0]) {
    case 'a':
        return answer(ACCEPT, 0, NULL, 0);
    case 'r':
        return reverse(tx, len);
    case 'd':
        return twice(tx, len);
    case 'x':
        return answer(REJECT, 7, tx, len);
    case 'e':
        return reject(999, "");
    case 'p':
        stop(as_told, sizeof as_told - 1);
    case 't':
        __builtin_trap();
    default:
        return reject(1, "nobody knows this order");
    }
}
