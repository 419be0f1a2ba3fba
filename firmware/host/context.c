/* The switch between two stacks, on a host. */
#include "crypto/context.h"

#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define LEAVING(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define ARRIVED(save, bottom, size) __sanitizer_finish_switch_fiber(save, bottom, size)
#else
#define LEAVING(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#define ARRIVED(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#endif

static ucontext_t main_context, other_context;
static void *main_fake, *other_fake;
static const void *main_bottom;
static size_t main_size;
static void *other_bottom;
static size_t other_size;
static void (*other_entry)(void);

static void begin(void)
{
    ARRIVED(NULL, &main_bottom, &main_size);
    other_entry();
}

void context_begin(void *stack, size_t size, void (*entry)(void))
{
    other_bottom = stack;
    other_size = size;
    other_fake = NULL;
    other_entry = entry;
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = stack;
    other_context.uc_stack.ss_size = size;
    other_context.uc_link = NULL;
    makecontext(&other_context, begin, 0);
}

void context_enter(void)
{
    LEAVING(&main_fake, other_bottom, other_size);
    swapcontext(&main_context, &other_context);
    ARRIVED(main_fake, NULL, NULL);
}

void context_leave(void)
{
    LEAVING(&other_fake, main_bottom, main_size);
    swapcontext(&other_context, &main_context);
    ARRIVED(other_fake, &main_bottom, &main_size);
}
