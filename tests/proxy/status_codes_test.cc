// Every call of the public API and every code that it may answer: docs/status-codes.md, and that the page says the
// truth.
//
//   BARID_UPDATE_PAGES=1 build/asan/tests/proxy_public_test --gtest_filter='StatusCodesTest.*'
//
// writes the page anew

#include "tests/proxy/status_codes.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/descriptor.h"

namespace barid::proxy {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;

using Cell = std::pair<std::string, v2::Code>;  // A call and a code.

std::vector<std::string> Rpcs() {
  std::vector<std::string> names;
  const auto* const service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("apache.rocketmq.v2.MessagingService");
  for (int i = 0; i < service->method_count(); ++i) names.push_back(service->method(i)->name());
  return names;
}

std::vector<v2::Code> Codes() {
  std::vector<v2::Code> codes;
  for (int i = 0; i < v2::Code_descriptor()->value_count(); ++i) {
    const auto code = static_cast<v2::Code>(v2::Code_descriptor()->value(i)->number());
    if (code != v2::CODE_UNSPECIFIED) codes.push_back(code);  // An error to every client: never sent.
  }
  return codes;
}

std::string Say(const Cell& cell) { return absl::StrCat(cell.first, " ", v2::Code_Name(cell.second)); }

std::set<Cell> Provoked() {
  std::set<Cell> cells;
  for (const StatusCase& row : StatusCases()) cells.insert({row.rpc, row.code});
  return cells;
}

// Why a cell is empty; nothing if no reason says it.
const StatusReason* WhyNot(const Cell& cell) {
  const StatusReason* general = nullptr;
  for (const StatusReason& reason : StatusReasons()) {
    if (std::find(reason.codes.begin(), reason.codes.end(), cell.second) == reason.codes.end()) continue;
    if (reason.rpcs.empty()) general = &reason;
    for (const char* rpc : reason.rpcs) {
      if (rpc == cell.first) return &reason;
    }
  }
  return general;
}

v2::Status Provoke(const StatusCase& row, const std::string& language = "JAVA") {
  StatusWorld world;
  world.SetHeader("x-mq-language", language);
  return row.provoke(world);
}

TEST(StatusCodesTest, EveryCaseProvokesItsCode) {
  for (const StatusCase& row : StatusCases()) {
    const v2::Status status = Provoke(row);
    EXPECT_EQ(v2::Code_Name(status.code()), v2::Code_Name(row.code))
        << row.rpc << " when " << row.what << ": " << status.message();
    EXPECT_FALSE(status.message().empty()) << row.rpc << " when " << row.what;
  }
}

TEST(StatusCodesTest, EveryCodeOfEveryCallHasACaseOrAReason) {
  const std::set<Cell> provoked = Provoked();
  for (const std::string& rpc : Rpcs()) {
    for (const v2::Code code : Codes()) {
      const Cell cell = {rpc, code};
      EXPECT_TRUE(provoked.contains(cell) || WhyNot(cell) != nullptr)
          << Say(cell) << " has neither a case nor a reason";
    }
  }
}

TEST(StatusCodesTest, NoReasonIsGivenForWhatHappens) {
  const std::set<Cell> provoked = Provoked();
  const std::vector<std::string> built = Rpcs();
  for (const StatusReason& reason : StatusReasons()) {
    for (const v2::Code code : reason.codes) {
      for (const char* rpc : reason.rpcs) {
        EXPECT_FALSE(provoked.contains({rpc, code})) << Say({rpc, code}) << " is provoked";
        EXPECT_THAT(built, Contains(rpc));
      }
    }
  }
}

TEST(StatusCodesTest, WhatTheContractNamesIsProvoked) {
  const std::set<Cell> provoked = Provoked();
  for (const NamedCode& named : NamedCodes()) {
    EXPECT_TRUE(provoked.contains({named.rpc, named.code})) << Say({named.rpc, named.code});
  }
}

// The published Rust client dies of any other.
TEST(StatusCodesTest, ARustClientMeetsOnlyCodesThatItKnows) {
  std::set<v2::Code> newer;
  for (const ClassicCodeRow& row : ClassicCodes()) newer.insert(row.code);
  for (const StatusCase& row : StatusCases()) {
    const v2::Status status = Provoke(row, "RUST");
    EXPECT_EQ(status.code(), ClassicCode(row.code)) << row.rpc << " when " << row.what;
    EXPECT_FALSE(newer.contains(status.code())) << row.rpc << " when " << row.what;
  }
}

// ---- The page ----

constexpr char kIntroduction[] = R"(# Status codes

<!-- Written by StatusCodesTest (tests/proxy/status_codes_test.cc) from its table, by running it. Not by hand. -->

Errors are answers: gRPC says OK, and the response's `status` has one of the codes below and a sentence that names what was found and what
was expected. What a caller can mend begins with 4; 5 is ours. After TOO_MANY_REQUESTS, HA_NOT_AVAILABLE, PROXY_TIMEOUT and
MASTER_PERSISTENCE_TIMEOUT it helps to try again; after the last two the first try may have been done. gRPC's own errors are left for calls
that do not get that far: unknown methods, messages larger than the port takes, a draining server.

Each row has been provoked: the sentence is what the server said.
)";

std::string Escape(std::string text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

std::string Page() {
  std::string page = kIntroduction;
  for (const std::string& rpc : Rpcs()) {
    absl::StrAppend(&page, "\n## ", rpc, "\n\n| code | when | the server says |\n|---|---|---|\n");
    v2::Code last = v2::CODE_UNSPECIFIED;
    for (const StatusCase& row : StatusCases()) {
      if (row.rpc != rpc) continue;
      const std::string code = absl::StrCat(static_cast<int>(row.code), " ", v2::Code_Name(row.code));
      absl::StrAppend(&page, "| ", row.code == last ? "" : code, " | ", Escape(row.what), " | ",
                      Escape(Provoke(row).message()), " |\n");
      last = row.code;
    }
  }
  absl::StrAppend(&page, "\n## apache.rocketmq.v2.Admin\n\nThe same codes, of whoever asks (docs/clients.md).\n");

  absl::StrAppend(&page, "\n## What is not answered, and why\n\n| code | of | why |\n|---|---|---|\n");
  for (const StatusReason& reason : StatusReasons()) {
    std::vector<std::string> names;
    for (const v2::Code code : reason.codes)
      names.push_back(absl::StrCat(static_cast<int>(code), " ", v2::Code_Name(code)));
    std::vector<std::string> of;
    for (const char* rpc : reason.rpcs) of.push_back(rpc);
    // "All others" may be all.
    const std::set<Cell> provoked = Provoked();
    const bool happens =
        std::any_of(provoked.begin(), provoked.end(), [&](const Cell& cell) { return cell.second == reason.codes[0]; });
    absl::StrAppend(&page, "| ", absl::StrJoin(names, ", "), " | ",
                    !of.empty() ? absl::StrJoin(of, ", ")
                    : happens   ? "all others"
                                : "all calls",
                    " | ", reason.why, " |\n");
  }

  absl::StrAppend(
      &page, "\n## The Rust client\n\n",
      "The published Rust client (5.0.0) was made from protos of 2023 and panics on a code that they lack. A client "
      "that calls itself\n"
      "RUST, in `x-mq-language` or in its Settings, gets the nearest code that it knows, with the same sentence.\n\n"
      "| code | a Rust client gets |\n|---|---|\n");
  for (const ClassicCodeRow& row : ClassicCodes()) {
    absl::StrAppend(&page, "| ", static_cast<int>(row.code), " ", v2::Code_Name(row.code), " | ",
                    static_cast<int>(row.nearest), " ", v2::Code_Name(row.nearest), " |\n");
  }
  return page;
}

TEST(StatusCodesTest, ThePageIsWhatTheServerSays) {
  const std::string path = absl::StrCat(BARID_SOURCE_DIR, "/docs/status-codes.md");
  const std::string page = Page();
  if (std::getenv("BARID_UPDATE_PAGES") != nullptr) {
    std::ofstream(path) << page;
    return;
  }
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << "cannot read " << path;
  EXPECT_EQ(page, std::string(std::istreambuf_iterator<char>(file), {}))
      << path << " is not what the server says: run this test with BARID_UPDATE_PAGES=1";
}

}  // namespace
}  // namespace barid::proxy
