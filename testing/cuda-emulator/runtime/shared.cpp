// A __shared__ variable is a thread-local one of its function, so the symbol table has its place and size:
// _ZZ9block_sumE7partial is `partial` of `block_sum`.
#include "shared.h"

#include <dlfcn.h>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <link.h>
#include <map>

namespace emulator {
namespace {

std::string library_path() {
    Dl_info info;
    return dladdr(reinterpret_cast<void *>(&library_path), &info) ? info.dli_fname : "";
}

// "9block_sum" -> "block_sum", and moves past it.
std::string counted(const char *&text) {
    size_t length = 0;
    while (*text >= '0' && *text <= '9') length = length * 10 + size_t(*text++ - '0');
    const std::string name(text, strnlen(text, length));
    text += name.size();
    return name;
}

std::vector<SharedVariable> read_symbols() {
    std::ifstream file(library_path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    std::vector<SharedVariable> variables;
    if (bytes.size() < sizeof(ElfW(Ehdr))) return variables;
    const auto *header = reinterpret_cast<const ElfW(Ehdr) *>(bytes.data());
    const auto *sections = reinterpret_cast<const ElfW(Shdr) *>(bytes.data() + header->e_shoff);
    for (size_t s = 0; s < header->e_shnum; s++) {
        if (sections[s].sh_type != SHT_SYMTAB) continue;
        const auto *symbols = reinterpret_cast<const ElfW(Sym) *>(bytes.data() + sections[s].sh_offset);
        const char *names = bytes.data() + sections[sections[s].sh_link].sh_offset;
        for (size_t i = 0; i < sections[s].sh_size / sizeof *symbols; i++) {
            const char *name = names + symbols[i].st_name;
            if (ELF64_ST_TYPE(symbols[i].st_info) != STT_TLS || strncmp(name, "_ZZ", 3) || strstr(name, "emulator_gap_") || strstr(name, "dynamic_shared")) continue;
            SharedVariable variable{"", name, size_t(symbols[i].st_value), size_t(symbols[i].st_size)};
            const char *rest = name + 3;
            if (std::string function = counted(rest); !function.empty() && *rest == 'E') {
                variable.function = function;
                variable.name = counted(++rest);
            }
            variables.push_back(variable);
        }
    }
    return variables;
}

// The library's block of thread-local memory in this thread, and its size.
std::pair<uintptr_t, size_t> thread_locals() {
    std::pair<uintptr_t, size_t> found{0, 0};
    dl_iterate_phdr(
        [](dl_phdr_info *info, size_t, void *found) {
            for (int i = 0; i < info->dlpi_phnum; i++) {
                const auto &part = info->dlpi_phdr[i];
                const uintptr_t here = uintptr_t(&thread_locals) - info->dlpi_addr - part.p_vaddr;
                if (part.p_type != PT_LOAD || here >= part.p_memsz) continue;
                for (int j = 0; j < info->dlpi_phnum; j++)
                    if (info->dlpi_phdr[j].p_type == PT_TLS)
                        *static_cast<std::pair<uintptr_t, size_t> *>(found) = {uintptr_t(info->dlpi_tls_data), info->dlpi_phdr[j].p_memsz};
                return 1;
            }
            return 0;
        },
        &found);
    return found;
}

}  // namespace

const std::vector<SharedVariable> &shared_variables(const Kernel &kernel) {
    static const std::vector<SharedVariable> all = read_symbols();
    static std::map<const Kernel *, std::vector<SharedVariable>> of_kernel;
    const auto [entry, fresh] = of_kernel.try_emplace(&kernel);
    if (fresh)
        for (const SharedVariable &variable : all)
            if (variable.function.empty() || variable.function == kernel.name) entry->second.push_back(variable);
    return entry->second;
}

size_t shared_bytes(const Kernel &kernel) {
    size_t bytes = 0;
    for (const SharedVariable &variable : shared_variables(kernel)) bytes += variable.function.empty() ? 0 : variable.bytes;
    return bytes;
}

char *dynamic_shared() {
    alignas(1024) static thread_local char memory[MOST_DYNAMIC + 256];
    return memory;
}

uintptr_t shared_memory() { return thread_locals().first; }
size_t shared_span() { return thread_locals().second; }

}  // namespace emulator
