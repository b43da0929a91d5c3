/* Calls functions of a library on behalf of another process, which has its data: see
 * other_processor.py. Usage: remote_calls LIBRARY.
 *
 * It reads requests from stdin and answers on stdout; all integers have 64 bits.
 *     constant: 'c', name length, name -> its value
 *     formula:  'i', name length, name, two integers -> the result
 *     call:     'f', name length, name, size and content of the structure of arguments, number of
 *               pointers and their offsets in the structure, number of regions, then for each its
 *               address in the other process, size and content -> the result and all regions
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

static void call(int64_t (*function)(void *))
{
    char *structure = get_content(get_number());
    uint64_t pointers = get_number();
    uint64_t *offsets = get_content(pointers * sizeof(uint64_t));
    uint64_t count = get_number();
    Region *regions = malloc((count + 1) * sizeof(Region));
    for (uint64_t i = 0; i < count; i++) {
        regions[i].address = get_number();
        regions[i].size = get_number();
        regions[i].content = get_content(regions[i].size);
    }
    for (uint64_t i = 0; i < pointers; i++) {
        uint64_t *field = (uint64_t *)(structure + offsets[i]);
        *field = (uint64_t)translate(*field, regions, count);
    }
    int64_t result = function(structure);
    put(&result, sizeof result);
    for (uint64_t i = 0; i < count; i++) {
        put(regions[i].content, regions[i].size);
        free(regions[i].content);
    }
    free(regions);
    free(offsets);
    free(structure);
}

static void apply(int64_t (*function)(int64_t, int64_t))
{
    int64_t first = get_number(), second = get_number(), result = function(first, second);
    put(&result, sizeof result);
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
        else if (kind == 'i')
            apply((int64_t(*)(int64_t, int64_t))found);
        else
            call((int64_t(*)(void *))found);
        fflush(stdout);
    }
}
