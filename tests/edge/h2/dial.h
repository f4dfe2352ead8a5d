#ifndef BARID_TESTS_EDGE_H2_DIAL_H_
#define BARID_TESTS_EDGE_H2_DIAL_H_

#include <string>

namespace barid::edge::h2 {

// A socket that blocks, connected to "host:port", its host an IPv4 address. -1: there is no connection to be had.
int Dial(const std::string& address);

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_EDGE_H2_DIAL_H_
