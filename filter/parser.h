#ifndef BARID_FILTER_PARSER_H_
#define BARID_FILTER_PARSER_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "filter/program.h"

namespace barid::filter {

inline constexpr size_t kMaxFilterBytes = 16384;
inline constexpr int kMaxFilterTerms = 2048;  // Literals, properties, operators, entries of lists.
inline constexpr int kMaxFilterDepth = 64;    // Of nesting. AND, OR, sums and products of many do not nest.

// Reads an expression (docs/filters.md). kInvalidArgument: "position N: found X, expected Y".
absl::StatusOr<Program> Parse(absl::string_view expression);

}  // namespace barid::filter

#endif  // BARID_FILTER_PARSER_H_
