/* Runs the network on every input of a file, through a debugger's or an emulator's semihosting.
 *
 * Reads "inputs.bin" (inputs one after the other), writes "outputs.bin" and "counts.bin": for
 * each layer, then for all, the SysTick ticks of the first inference as 64 bits; then the bytes of
 * stack used and of stack there, as 64 bits each.
 */
#include <stddef.h>
#include <stdint.h>

#include EF_HEADER

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define INPUT JOIN(EF_NAME, _input)
#define OUTPUT JOIN(EF_NAME, _output)
#define RUN JOIN(EF_NAME, _run)

#define SYS_OPEN 1U
#define SYS_CLOSE 2U
#define SYS_WRITE 5U
#define SYS_READ 6U
#define SYS_EXIT_EXTENDED 0x20U
#define MODE_READ 1U
#define MODE_WRITE 5U
#define PAINT 0xC0DEC0DEU

extern uint32_t ef_stack_bottom;
extern uint32_t ef_stack_top;

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010U;
static uint64_t counts[EF_LAYERS + 3];
static uint32_t before;

int main(void);
void EF_DONE(int32_t layer);

static uint32_t call(uint32_t operation, const uintptr_t *arguments)
{
    register uint32_t r0 __asm("r0") = operation;
    register const uintptr_t *r1 __asm("r1") = arguments;

    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t open(const char *name, uint32_t length, uint32_t mode)
{
    const uintptr_t arguments[3] = {(uintptr_t)name, mode, length};

    return call(SYS_OPEN, arguments);
}

/* Bytes that could not be read or written. */
static uint32_t transfer(uint32_t operation, uint32_t file, const void *at, uint32_t size)
{
    const uintptr_t arguments[3] = {file, (uintptr_t)at, size};

    return call(operation, arguments);
}

static void leave(uint32_t status)
{
    const uintptr_t arguments[2] = {0x20026U, status};

    (void)call(SYS_EXIT_EXTENDED, arguments);
}

/* SysTick counts down, in 24 bits. */
void EF_DONE(int32_t layer)
{
    const uint32_t now = systick[2];

    if (counts[layer] == 0U) {
        counts[layer] = (before - now) & 0xFFFFFFU;
        counts[EF_LAYERS] += counts[layer];
    }
    before = systick[2];
}

int main(void)
{
    const uint32_t in = open("inputs.bin", 10U, MODE_READ);
    const uint32_t out = open("outputs.bin", 11U, MODE_WRITE);
    uint32_t counted;
    const uint32_t *deepest = &ef_stack_bottom;

    systick[1] = 0xFFFFFFU;
    systick[2] = 0U;
    systick[0] = 5U;
    while (transfer(SYS_READ, in, INPUT(), (uint32_t)sizeof(*INPUT()) * EF_INPUT) == 0U) {
        before = systick[2];
        RUN();
        if (transfer(SYS_WRITE, out, OUTPUT(), (uint32_t)sizeof(*OUTPUT()) * EF_OUTPUT) != 0U) {
            leave(71U);
        }
    }
    while ((deepest < &ef_stack_top) && (*deepest == PAINT)) {
        deepest++;
    }
    counts[EF_LAYERS + 1] = (uint64_t)((uintptr_t)&ef_stack_top - (uintptr_t)deepest);
    counts[EF_LAYERS + 2] = (uint64_t)((uintptr_t)&ef_stack_top - (uintptr_t)&ef_stack_bottom);
    counted = open("counts.bin", 10U, MODE_WRITE);
    (void)transfer(SYS_WRITE, counted, counts, (uint32_t)sizeof(counts));
    {
        const uintptr_t arguments[1] = {out};

        (void)call(SYS_CLOSE, arguments);
    }
    leave(0U);
    return 0;
}
