#ifndef BARID_EDGE_H2_SELF_SIGNED_H_
#define BARID_EDGE_H2_SELF_SIGNED_H_

#include <string>

#include "absl/status/statusor.h"
#include "edge/h2/tls.h"

namespace barid::edge::h2 {

// A certificate for a server that nobody has given one: clients that check nothing can speak TLS to it, others should
// get a real one. Made in `directory` (certificate.pem, key.pem; the key readable by its owner only) unless it is
// there; for `localhost`, ECDSA P-256, ten years. The directory exists.
absl::StatusOr<TlsFiles> SelfSignedIn(const std::string& directory);

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_SELF_SIGNED_H_
