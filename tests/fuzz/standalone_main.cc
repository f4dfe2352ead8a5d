// Drives a fuzz target without libFuzzer.
//
//   x_fuzz [--iterations=N] [--seed=S] [--first=I]   N mutated inputs from number I on; input I depends on S and I only
//   x_fuzz FILE...                                   these inputs, as libFuzzer leaves them behind
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/hash.h"
#include "base/random.h"
#include "tests/fuzz/fuzz.h"

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace barid {
namespace {

constexpr size_t kMaxInputBytes = 1 << 16;

uint64_t seed = 1;
volatile uint64_t current = 0;  // Read by the crash handler.

// How to come back to the input that crashed.
void ReportCrash() {
  char line[128];
  const int size = std::snprintf(line, sizeof(line), "\nrepeat with --seed=%llu --first=%llu --iterations=1\n",
                                 static_cast<unsigned long long>(seed), static_cast<unsigned long long>(current));
  if (write(STDERR_FILENO, line, static_cast<size_t>(size)) < 0) return;
}

void OnSignal(int signal) {
  ReportCrash();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void Mutate(Random* random, const std::vector<std::string>& seeds, std::string* input) {
  const size_t at = input->empty() ? 0 : random->Below(input->size());
  const size_t rest = input->size() - at;
  switch (random->Below(9)) {
    case 0:
      if (!input->empty()) (*input)[at] ^= static_cast<char>(1 << random->Below(8));
      break;
    case 1:
      if (!input->empty()) (*input)[at] = static_cast<char>(random->Next());
      break;
    case 2:
      input->insert(at, random->Bytes(random->Below(16)));
      break;
    case 3:
      input->erase(at, random->Below(std::min<size_t>(rest, 64) + 1));
      break;
    case 4:
      input->resize(at);
      break;
    case 5: {  // Repeat a piece.
      const std::string piece = input->substr(at, random->Below(256));
      input->insert(random->Below(input->size() + 1), piece);
      break;
    }
    case 6: {  // A number at the border of something.
      static constexpr uint64_t kNumbers[] = {
          0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, ~uint64_t{0} >> 1, ~uint64_t{0}};
      const uint64_t number = kNumbers[random->Below(std::size(kNumbers))];
      const size_t width = std::min<size_t>(rest, size_t{1} << random->Below(4));
      std::memcpy(input->data() + at, &number, width);
      break;
    }
    case 7: {  // The beginning of one, the end of another.
      const std::string& other = seeds[random->Below(seeds.size())];
      input->resize(at);
      input->append(other, other.empty() ? 0 : random->Below(other.size()));
      break;
    }
    case 8:
      std::memset(input->data() + at, 0, std::min<size_t>(rest, random->Below(512)));
      break;
  }
  if (input->size() > kMaxInputBytes) input->resize(kMaxInputBytes);
}

void Run(uint64_t first, uint64_t iterations) {
  std::vector<std::string> seeds = {""};
  if (&FuzzSeeds != nullptr) {
    for (std::string& input : FuzzSeeds()) seeds.push_back(std::move(input));
  }
  for (uint64_t i = first; i < first + iterations; ++i) {
    current = i;
    SeededRandom random(StableHash({seed, i}));
    std::string input = seeds[i % seeds.size()];
    // Sometimes none: what is valid has to pass too.
    for (uint64_t mutations = random.Below(6); mutations > 0; --mutations) Mutate(&random, seeds, &input);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
  std::cout << iterations << " inputs from " << seeds.size() << " seeds, --seed=" << seed << "\n";
}

bool ConsumeNumber(absl::string_view argument, absl::string_view flag, uint64_t* value) {
  return absl::ConsumePrefix(&argument, flag) && absl::SimpleAtoi(argument, value);
}

int Main(int argc, char** argv) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, OnSignal);
  if (&__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(ReportCrash);

  uint64_t iterations = 20000, first = 0;
  bool has_files = false;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (ConsumeNumber(argument, "--iterations=", &iterations) || ConsumeNumber(argument, "--seed=", &seed) ||
        ConsumeNumber(argument, "--first=", &first)) {
      continue;
    }
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::cerr << argv[i] << ": cannot be read, and is no flag\n";
      return 2;
    }
    const std::string input((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
    has_files = true;
  }
  if (!has_files) Run(first, iterations);
  return 0;
}

}  // namespace
}  // namespace barid

int main(int argc, char** argv) { return barid::Main(argc, argv); }
