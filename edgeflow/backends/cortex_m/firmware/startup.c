/* Reset of a Cortex-M: data and bss, the stack painted, the floating-point unit on, then main. */
#include <stdint.h>

extern uint32_t ef_data_from;
extern uint32_t ef_data_start;
extern uint32_t ef_data_end;
extern uint32_t ef_bss_start;
extern uint32_t ef_bss_end;
extern uint32_t ef_stack_bottom;
extern uint32_t ef_stack_top;

int main(void);
void ef_reset(void);
void ef_fault(void);

#define PAINT 0xC0DEC0DEU

void ef_fault(void)
{
    /* semihosting: SYS_EXIT_EXTENDED with status 70 */
    static uint32_t block[2] = {0x20026U, 70U};
    register uint32_t operation __asm("r0") = 0x20U;
    register uint32_t *argument __asm("r1") = block;

    __asm volatile("bkpt 0xAB" : "+r"(operation) : "r"(argument) : "memory");
    for (;;) {
    }
}

void ef_reset(void)
{
    const uint32_t *from = &ef_data_from;
    uint32_t *to;
    uint32_t *here;

    for (to = &ef_data_start; to < &ef_data_end; to++) {
        *to = *from;
        from++;
    }
    for (to = &ef_bss_start; to < &ef_bss_end; to++) {
        *to = 0U;
    }
    __asm volatile("mov %0, sp" : "=r"(here));
    for (to = &ef_stack_bottom; to < here; to++) {
        *to = PAINT;
    }
#if defined(__ARM_FP) || (defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE)
    /* CPACR: full access to coprocessors 10 and 11 */
    *(volatile uint32_t *)0xE000ED88U |= 0xFU << 20;
    __asm volatile("dsb\nisb" ::: "memory");
#endif
    (void)main();
    ef_fault();
}

typedef struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} ef_vectors;

__attribute__((section(".vectors"), used)) static const ef_vectors vectors = {
    &ef_stack_top,
    {ef_reset, ef_fault, ef_fault, ef_fault, ef_fault, ef_fault, ef_fault, ef_fault, ef_fault,
     ef_fault, ef_fault, ef_fault, ef_fault, ef_fault, ef_fault},
};
