#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "apache/rocketmq/v2/admin.pb.h"
#include "apache/rocketmq/v2/definition.pb.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "gtest/gtest.h"

// The public API is a matter of fact: what the clients speak. tests/api/wire_table.txt states it; here the generated
// descriptors are spelled in the words of that table, fact by fact, and the two sets of facts are compared.
namespace barid {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;
using testing::AllOf;
using testing::Contains;
using testing::EndsWith;
using testing::StartsWith;

constexpr absl::string_view kPackage = "apache.rocketmq.v2";

// Facts, each with the line of the table that states it (0: stated by a descriptor). A fact reads "OWNER: what", such
// as "message Digest: string checksum = 2", "enum Code: OK = 20000" or "apache/rocketmq/v2/admin.proto: service Admin".
using Facts = std::map<std::string, int>;

// ---- What the table says ----

std::string ReadTable() {
  const std::string path = absl::StrCat(BARID_SOURCE_DIR, "/tests/api/wire_table.txt");
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << "cannot read " << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Facts FactsOfTable(absl::string_view table) {
  Facts facts;
  std::string file;
  std::string owner;  // The message or service whose indented lines follow.
  int number = 0;
  auto add = [&](absl::string_view of, absl::string_view what) {
    const bool is_new = facts.emplace(absl::StrCat(of, ": ", what), number).second;
    EXPECT_TRUE(is_new) << "wire_table.txt:" << number << ": states again: " << of << ": " << what;
  };
  for (absl::string_view raw : absl::StrSplit(table, '\n')) {
    ++number;
    std::string line(raw);
    absl::RemoveExtraAsciiWhitespace(&line);
    if (absl::StartsWith(line, "## file ")) {
      file = line.substr(8);
    } else if (line.empty() || line[0] == '#') {
      continue;
    } else if (absl::ascii_isspace(raw[0])) {
      add(owner, line);
    } else if (absl::StartsWith(line, "enum ")) {
      const std::vector<std::string> name_and_values = absl::StrSplit(line, absl::MaxSplits(": ", 1));
      add(file, name_and_values[0]);
      for (absl::string_view value : absl::StrSplit(name_and_values.back(), ", ")) add(name_and_values[0], value);
    } else {
      owner = line;
      add(file, owner);
    }
  }
  return facts;
}

// ---- What the descriptors say ----

std::string Name(absl::string_view full_name) {
  absl::ConsumePrefix(&full_name, absl::StrCat(kPackage, "."));
  return std::string(full_name);
}

std::string TypeName(const FieldDescriptor& field) {
  if (field.message_type() != nullptr) return Name(field.message_type()->full_name());
  if (field.enum_type() != nullptr) return Name(field.enum_type()->full_name());
  return field.type_name();
}

// As in the table, and with a remark if something is not the default that the table takes for granted.
std::string Spell(const FieldDescriptor& field) {
  std::string text;
  if (field.is_map()) {
    const Descriptor& entry = *field.message_type();
    text = absl::StrCat("map<", TypeName(*entry.map_key()), ",", TypeName(*entry.map_value()), ">");
  } else {
    if (field.is_required()) text = "required ";
    if (field.is_repeated()) text = "repeated ";
    if (field.has_optional_keyword()) text = "optional ";
    absl::StrAppend(&text, TypeName(field));
  }
  absl::StrAppend(&text, " ", field.name(), " = ", field.number());
  if (field.real_containing_oneof() != nullptr) {
    absl::StrAppend(&text, " (oneof ", field.real_containing_oneof()->name(), ")");
  }
  if (field.has_json_name()) absl::StrAppend(&text, " (json_name ", field.json_name(), ")");
  if (field.is_packable() && !field.is_packed()) absl::StrAppend(&text, " (not packed)");
  return text;
}

std::string Spell(const MethodDescriptor& method) {
  return absl::StrCat("rpc ", method.name(), "(", method.client_streaming() ? "stream " : "",
                      Name(method.input_type()->full_name()), ") returns (", method.server_streaming() ? "stream " : "",
                      Name(method.output_type()->full_name()), ")");
}

// A fact for the thing itself, of `file`, and one for each of its parts. Messages bring what is nested in them.
void Add(const EnumDescriptor& type, absl::string_view file, Facts* facts) {
  const std::string owner = absl::StrCat("enum ", Name(type.full_name()));
  facts->emplace(absl::StrCat(file, ": ", owner), 0);
  for (int i = 0; i < type.value_count(); ++i) {
    facts->emplace(absl::StrCat(owner, ": ", type.value(i)->name(), " = ", type.value(i)->number()), 0);
  }
}

void Add(const Descriptor& type, absl::string_view file, Facts* facts) {
  if (type.options().map_entry()) return;  // Protobuf's own; spelled where the map is.
  const std::string owner = absl::StrCat("message ", Name(type.full_name()));
  facts->emplace(absl::StrCat(file, ": ", owner), 0);
  for (int i = 0; i < type.field_count(); ++i) facts->emplace(absl::StrCat(owner, ": ", Spell(*type.field(i))), 0);
  for (int i = 0; i < type.extension_count(); ++i) {
    facts->emplace(absl::StrCat(owner, ": extension ", Spell(*type.extension(i))), 0);
  }
  for (int i = 0; i < type.nested_type_count(); ++i) Add(*type.nested_type(i), file, facts);
  for (int i = 0; i < type.enum_type_count(); ++i) Add(*type.enum_type(i), file, facts);
}

void Add(const ServiceDescriptor& service, absl::string_view file, Facts* facts) {
  const std::string owner = absl::StrCat("service ", Name(service.full_name()));
  facts->emplace(absl::StrCat(file, ": ", owner), 0);
  for (int i = 0; i < service.method_count(); ++i) {
    facts->emplace(absl::StrCat(owner, ": ", Spell(*service.method(i))), 0);
  }
}

// The three files, by a descriptor of each: so they are linked, and known to be the ones that the server is built with.
std::vector<const FileDescriptor*> PublicFiles() {
  return {apache::rocketmq::v2::Message::descriptor()->file(),
          apache::rocketmq::v2::SendMessageRequest::descriptor()->file(),
          apache::rocketmq::v2::ListMessageRequest::descriptor()->file()};
}

Facts FactsOfDescriptors() {
  Facts facts;
  for (const FileDescriptor* file : PublicFiles()) {
    for (int i = 0; i < file->enum_type_count(); ++i) Add(*file->enum_type(i), file->name(), &facts);
    for (int i = 0; i < file->message_type_count(); ++i) Add(*file->message_type(i), file->name(), &facts);
    for (int i = 0; i < file->service_count(); ++i) Add(*file->service(i), file->name(), &facts);
    for (int i = 0; i < file->extension_count(); ++i) {
      facts.emplace(absl::StrCat(file->name(), ": extension ", Spell(*file->extension(i))), 0);
    }
  }
  return facts;
}

// ---- The comparison ----

// What `facts` holds and `others` does not: one line each, with where it is stated.
std::vector<std::string> Without(const Facts& facts, const Facts& others) {
  std::vector<std::string> missing;
  for (const auto& [fact, line] : facts) {
    if (others.contains(fact)) continue;
    missing.push_back(line > 0 ? absl::StrCat("wire_table.txt:", line, ": ", fact) : fact);
  }
  return missing;
}

TEST(WireTableTest, EveryFactOfTheTableIsInTheDescriptors) {
  const std::vector<std::string> missing = Without(FactsOfTable(ReadTable()), FactsOfDescriptors());
  EXPECT_TRUE(missing.empty()) << "stated by the table, but not so in the protos:\n" << absl::StrJoin(missing, "\n");
}

TEST(WireTableTest, NothingIsInTheDescriptorsThatTheTableDoesNotState) {
  const std::vector<std::string> extra = Without(FactsOfDescriptors(), FactsOfTable(ReadTable()));
  EXPECT_TRUE(extra.empty()) << "in the protos, but not stated by the table:\n" << absl::StrJoin(extra, "\n");
}

TEST(WireTableTest, EveryFileIsProto3InThePublicPackage) {
  for (const FileDescriptor* file : PublicFiles()) {
    EXPECT_EQ(DescriptorPool::generated_pool()->FindFileByName(file->name()), file);
    EXPECT_EQ(file->package(), std::string(kPackage)) << file->name();
    EXPECT_EQ(file->syntax(), FileDescriptor::SYNTAX_PROTO3) << file->name();
  }
}

// ---- The comparison can fail ----

struct Alteration {
  std::string owner;
  std::string was;      // As the protos have it.
  std::string becomes;  // As the table would state it.
};

class AlteredWireTableTest : public testing::TestWithParam<Alteration> {};

TEST_P(AlteredWireTableTest, TheAlteredFactIsReportedFromBothSides) {
  const auto& [owner, was, becomes] = GetParam();
  std::string table = absl::StrReplaceAll(ReadTable(), {{"   (oneof", " (oneof"}});
  ASSERT_EQ(absl::StrReplaceAll({{was, becomes}}, &table), 1) << was;

  EXPECT_THAT(Without(FactsOfTable(table), FactsOfDescriptors()),
              Contains(AllOf(StartsWith("wire_table.txt:"), EndsWith(absl::StrCat(": ", owner, ": ", becomes)))));
  EXPECT_THAT(Without(FactsOfDescriptors(), FactsOfTable(table)), Contains(absl::StrCat(owner, ": ", was)));
}

INSTANTIATE_TEST_SUITE_P(
    OfEachKind, AlteredWireTableTest,
    testing::Values(  //
        Alteration{"message Digest", "string checksum = 2", "string checksum = 3"},
        Alteration{"message UA", "string platform = 3", "string plattform = 3"},
        Alteration{"message ExponentialBackoff", "float multiplier = 3", "double multiplier = 3"},
        Alteration{"message Endpoints", "repeated Address addresses = 2", "Address addresses = 2"},
        Alteration{"message ChangeInvisibleDurationRequest", "optional bool suspend = 7", "bool suspend = 7"},
        Alteration{"message OffsetOption", "int64 tail_n = 3 (oneof offset_type)", "int64 tail_n = 3"},
        Alteration{"message OffsetOption", "OffsetOption.Policy policy = 1 (oneof offset_type)",
                   "Policy policy = 1 (oneof offset_type)"},
        Alteration{"message ConsumerRunningInfo", "map<string,ConsumeStatus> consume_status_table = 4",
                   "map<string,string> consume_status_table = 4"},
        Alteration{"enum DigestType", "SHA1 = 3", "SHA1 = 4"},  //
        Alteration{"enum Language", "KOTLIN = 12", "SWIFT = 12"},
        Alteration{"service MessagingService", "rpc Heartbeat(HeartbeatRequest) returns (HeartbeatResponse)",
                   "rpc Heartbeat(HeartbeatResponse) returns (HeartbeatResponse)"},
        Alteration{"service MessagingService",
                   "rpc Telemetry(stream TelemetryCommand) returns (stream TelemetryCommand)",
                   "rpc Telemetry(TelemetryCommand) returns (stream TelemetryCommand)"},
        Alteration{"service Admin", "rpc GetTopicRoute(GetTopicRouteRequest) returns (GetTopicRouteResponse)",
                   "rpc GetTopicRoute(GetTopicRouteRequest) returns (stream GetTopicRouteResponse)"}));

TEST(WireTableTest, AFactThatOnlyTheTableStatesIsReportedWithItsLine) {
  const Facts facts = FactsOfTable(
      "## file apache/rocketmq/v2/definition.proto\n"
      "\n"
      "message Digest\n"
      "    bytes salt = 3\n");
  EXPECT_THAT(Without(facts, FactsOfDescriptors()), Contains("wire_table.txt:4: message Digest: bytes salt = 3"));
}

TEST(WireTableTest, AFactThatTheTableLeavesOutIsReported) {
  const std::string table = absl::StrReplaceAll(ReadTable(), {{"    string checksum = 2\n", ""}});
  EXPECT_THAT(Without(FactsOfDescriptors(), FactsOfTable(table)), Contains("message Digest: string checksum = 2"));
}

TEST(WireTableTest, AMessageInTheWrongFileIsReported) {
  const Facts facts = FactsOfTable("## file apache/rocketmq/v2/service.proto\nmessage Digest\n");
  EXPECT_THAT(Without(facts, FactsOfDescriptors()),
              Contains("wire_table.txt:2: apache/rocketmq/v2/service.proto: message Digest"));
}

}  // namespace
}  // namespace barid
