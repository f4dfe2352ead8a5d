#ifndef BARID_TESTS_BENCH_HOSTILE_ATTACKS_H_
#define BARID_TESTS_BENCH_HOSTILE_ATTACKS_H_

#include <functional>
#include <string>
#include <vector>

#include "edge/call.h"
#include "tests/bench/hostile_peer.h"

namespace barid::edge::h2 {

// The server has an echo "/t/Echo", a method "/t/Hold" that does not answer soon, and "/t/Flood", which answers 1 MiB
// as a stream.
struct Attack {
  std::string name;
  // What it sends each time; "" if it has nothing to say.
  std::function<std::string(Peer*)> next;
  bool reads = true;
  int connections = 1;
  std::string greeting = Greeting();
  PortLimits limits = {};
  bool tls = false;  // The server has a certificate.
};

// All of them, and first one that does nothing. Raises the process's limit of descriptors.
std::vector<Attack> AllAttacks();

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_BENCH_HOSTILE_ATTACKS_H_
