#ifndef BARID_TESTS_FUZZ_FUZZ_H_
#define BARID_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// What a fuzz target defines. It crashes (CHECK) when a promise is broken.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Inputs to mutate, for the standalone runner: without some that are valid, mutations of nothing never get past a
// checksum. A target need not define it.
__attribute__((weak)) std::vector<std::string> FuzzSeeds();

#endif  // BARID_TESTS_FUZZ_FUZZ_H_
