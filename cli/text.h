#ifndef BARID_CLI_TEXT_H_
#define BARID_CLI_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

// How values are read and shown.
namespace barid::cli {

// "1m30s", "3d" (base/setting_types.h).
bool ParseDuration(absl::string_view text, absl::Duration* value);
std::string DurationText(absl::Duration value);
// "4MiB"; what is no whole number of a unit is a number of bytes.
std::string BytesText(int64_t value);

absl::Duration FromProto(const google::protobuf::Duration& proto);
absl::Time FromProto(const google::protobuf::Timestamp& proto);
void ToProto(absl::Duration value, google::protobuf::Duration* proto);
void ToProto(absl::Time value, google::protobuf::Timestamp* proto);

bool IsUtf8(absl::string_view text);
// Whether a terminal shows it as it is: UTF-8 without control characters other than tab and newline.
bool IsPrintable(absl::string_view text);
// "00000000  68 65 6c 6c 6f ...  |hello|", one line per 16 bytes.
std::string HexDump(absl::string_view bytes);

}  // namespace barid::cli

#endif  // BARID_CLI_TEXT_H_
