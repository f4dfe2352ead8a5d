#include "cli/message_body.h"

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/metadata.h"
#include "base/status.h"
#include "cli/failure.h"

namespace barid::cli {
namespace {

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.good() && !file.eof())
    return UsageError(absl::StrCat("--file ", path, " cannot be read, name a readable file"));
  return content;
}

}  // namespace

void BodyFlags::Add(FlagSet* flags) {
  flags->Add("body", &body_, Default(""), "The message's body.");
  flags->Add("file", &file_, Default(""), "A file with the body, in place of --body.");
}

absl::StatusOr<std::string> BodyFlags::Read(const FlagSet& flags) const {
  if (flags.Given("body") == flags.Given("file"))
    return UsageError("give the body either by --body TEXT or by --file PATH");
  std::string body = body_;
  if (flags.Given("file")) {
    ASSIGN_OR_RETURN(body, ReadFile(file_));
  }
  if (body.empty()) return UsageError("the body is empty, give at least one byte");
  if (static_cast<int64_t>(body.size()) > kMaxMessageBytes) {
    return UsageError(
        absl::StrCat("the body has ", body.size(), " bytes, no topic takes more than ", kMaxMessageBytes));
  }
  return body;
}

absl::Status FillProperties(const std::vector<std::string>& properties, v2::Message* message) {
  for (const std::string& property : properties) {
    const size_t equals = property.find('=');
    if (equals == 0 || equals == property.npos) {
      return UsageError(absl::StrCat("--property is \"", property, "\", expected NAME=VALUE"));
    }
    (*message->mutable_user_properties())[property.substr(0, equals)] = property.substr(equals + 1);
  }
  return absl::OkStatus();
}

}  // namespace barid::cli
