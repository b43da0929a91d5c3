/* Calls functions of a library on behalf of another process, which has its data: see
 * other_processor.py. Usage: remote_calls LIBRARY.
 *
 * It reads requests from stdin and answers on stdout; all integers have 64 bits.
 *     constant: 'c', name length, name -> its value
 *     call:     'f', name length, name, six arguments, six flags that are 1 for a pointer, number of
 *               regions of memory, then for each its address in the other process, size and
 *               content; number of pointers in these regions, and their addresses -> the result and
 *               the content of all regions
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    uint64_t address, size;
    char *content;
} Region;

static void fail(const char *what)
{
    fprintf(stderr, "remote_calls: %s\n", what);
    exit(1);
}

static void get(void *to, uint64_t size)
{
    if (fread(to, 1, size, stdin) != size)
        exit(0); /* the other process has ended */
}

static void put(const void *from, uint64_t size)
{
    if (fwrite(from, 1, size, stdout) != size)
        fail("the other process has ended");
}

static uint64_t get_number(void)
{
    uint64_t number;
    get(&number, sizeof number);
    return number;
}

static void *get_content(uint64_t size)
{
    char *content = malloc(size + 1);
    if (!content)
        fail("not enough memory");
    get(content, size);
    content[size] = 0;
    return content;
}

/* The address here of an address in the other process. */
static void *translate(uint64_t address, const Region *regions, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (address >= regions[i].address && address - regions[i].address < regions[i].size)
            return regions[i].content + (address - regions[i].address);
    fail("an address is in no region");
    return NULL;
}

enum { ARGUMENTS = 6 };
typedef int64_t Function(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static void call(Function *function)
{
    uint64_t arguments[ARGUMENTS], is_pointer[ARGUMENTS];
    get(arguments, sizeof arguments);
    get(is_pointer, sizeof is_pointer);
    uint64_t count = get_number();
    Region *regions = malloc((count + 1) * sizeof(Region));
    for (uint64_t i = 0; i < count; i++) {
        regions[i].address = get_number();
        regions[i].size = get_number();
        regions[i].content = get_content(regions[i].size);
    }
    for (int i = 0; i < ARGUMENTS; i++)
        if (is_pointer[i])
            arguments[i] = (uint64_t)translate(arguments[i], regions, count);
    uint64_t pointers = get_number();
    uint64_t *addresses = get_content(pointers * sizeof(uint64_t));
    uint64_t *there = malloc((pointers + 1) * sizeof(uint64_t));
    for (uint64_t i = 0; i < pointers; i++) {
        uint64_t *pointer = translate(addresses[i], regions, count);
        there[i] = *pointer;
        *pointer = (uint64_t)translate(there[i], regions, count);
    }
    int64_t result = function(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                              arguments[5]);
    for (uint64_t i = 0; i < pointers; i++)
        *(uint64_t *)translate(addresses[i], regions, count) = there[i];
    put(&result, sizeof result);
    for (uint64_t i = 0; i < count; i++) {
        put(regions[i].content, regions[i].size);
        free(regions[i].content);
    }
    free(there);
    free(addresses);
    free(regions);
}

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!library)
        fail(argc == 2 ? dlerror() : "expected one argument");
    for (;;) {
        char kind;
        get(&kind, 1);
        char *name = get_content(get_number());
        void *found = dlsym(library, name);
        if (!found)
            fail(name);
        free(name);
        if (kind == 'c')
            put(found, sizeof(int64_t));
        else
            call((Function *)found);
        fflush(stdout);
    }
}
