// Counts what a guest carries out: a plugin of QEMU's code generator (QEMU, "TCG Plugins").
//
// The file that the argument "counts" names gets two numbers of 64 bits, in the byte order of this
// machine: instructions at addresses of the kernel (the upper half), and others. They are up to date
// at any time, for a guest with one processor. A block of code counts when it is entered, so one that
// a fault leaves early counts a few instructions too many.

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// QEMU's interface (version 7, of QEMU 11) as far as it is used; Debian has no header of it.
struct qemu_plugin_tb;
typedef void (*translated_t)(struct qemu_plugin_tb *block, void *data);
typedef void (*executed_t)(unsigned processor, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated_t function, void *data);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, executed_t function,
                                          int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

int qemu_plugin_version = 7;

static volatile uint64_t *counts;

static void count_kernel(unsigned processor, void *data) {
    (void)processor;
    counts[0] += (uintptr_t)data;
}

static void count_user(unsigned processor, void *data) {
    (void)processor;
    counts[1] += (uintptr_t)data;
}

static void translated(struct qemu_plugin_tb *block, void *data) {
    (void)data;
    executed_t count = qemu_plugin_tb_vaddr(block) >> 63 ? count_kernel : count_user;
    // A callback of that kind (0) looks at no registers.
    qemu_plugin_register_vcpu_tb_exec_cb(block, count, 0,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

int qemu_plugin_install(uint64_t id, const void *information, int argc, char **argv) {
    static const char name[] = "counts=";
    (void)information;
    if (argc != 1 || strncmp(argv[0], name, sizeof name - 1))
        return -1;
    int file = open(argv[0] + sizeof name - 1, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || ftruncate(file, 2 * sizeof *counts))
        return -1;
    counts = mmap(NULL, 2 * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (counts == MAP_FAILED)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
    return 0;
}
