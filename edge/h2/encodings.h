#ifndef BARID_EDGE_H2_ENCODINGS_H_
#define BARID_EDGE_H2_ENCODINGS_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// How gRPC writes things into headers (gRPC over HTTP/2, "Requests" and "Responses").
namespace barid::edge::h2 {

// "100m", "8S": up to 8 digits and a unit. nullopt if it is no such text.
std::optional<absl::Duration> ParseTimeout(absl::string_view text);

// When a call with that much time left ends. Streams that are meant to stay come with timeouts of years; those of more
// than one are none.
absl::Time DeadlineAfter(absl::Time now, absl::Duration timeout);

// The value of a header whose name ends in "-bin": base64 with or without padding. nullopt if it is not.
std::optional<std::string> DecodeBinaryHeader(absl::string_view text);
// Without padding.
std::string EncodeBinaryHeader(absl::string_view bytes);

// grpc-message: what is not printable ASCII, and %, as %XX.
std::string PercentEncode(absl::string_view message);
// What does not follow the rules stays as it is.
std::string PercentDecode(absl::string_view text);

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_ENCODINGS_H_
