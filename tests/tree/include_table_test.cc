// The rule "Who may include whom" of docs/architecture.md, held against every #include; and the checker itself, on
// small made-up trees.
#include "tests/tree/include_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "tests/base/status_matchers.h"

namespace barid::tree {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kTable[] =
    "# Some page\n"
    "\n"
    "| not | this one |\n"
    "|---|---|\n"
    "| `x` | `y` |\n"
    "\n"
    "## Who may include whom\n"
    "\n"
    "| word | headers |\n"
    "|---|---|\n"
    "| std | `*` |\n"
    "| system | `unistd.h`, `sys/*.h` |\n"
    "| log messages | `barid/log/*.pb.h` |\n"
    "\n"
    "| files | may include |\n"
    "|---|---|\n"
    "| `base` | std |\n"
    "| `base/real_env.cc` | system |\n"
    "| `base/simulated` | std, `base` |\n"
    "| `broker`, `proxy` | std, `base`, log messages |\n"
    "| `broker/grpc` | `broker`, `grpcpp/**` |\n"
    "\n"
    "## Something else\n"
    "\n"
    "| also not | this one |\n";

IncludeTable Table() {
  absl::StatusOr<IncludeTable> table = IncludeTable::Parse(kTable);
  CHECK_OK(table.status());
  return *std::move(table);
}

// One file per row, so that no row is about nothing.
std::vector<SourceFile> Tree(std::vector<SourceFile> more) {
  std::vector<SourceFile> files = {{"base/log.h", ""},     {"base/real_env.cc", ""}, {"base/simulated/disk.h", ""},
                                   {"broker/shard.h", ""}, {"proxy/proxy.h", ""},    {"broker/grpc/service.h", ""}};
  files.insert(files.end(), more.begin(), more.end());
  return files;
}

std::vector<std::string> ViolationsOf(const std::string& path, const std::string& text) {
  return Table().Violations(Tree({{path, text}}));
}

TEST(IncludeTableTest, EdgesOfTheTableAreFine) {
  EXPECT_THAT(
      ViolationsOf("broker/a.cc", "#include <string>\n#include \"base/log.h\"\n#include \"barid/log/log.pb.h\"\n"),
      IsEmpty());
  EXPECT_THAT(ViolationsOf("base/a.cc", "#include \"base/log.h\"\n"), IsEmpty());
  EXPECT_THAT(ViolationsOf("base/simulated/a.cc", "#include \"base/log.h\"\n#include \"base/simulated/disk.h\"\n"),
              IsEmpty());
  EXPECT_THAT(ViolationsOf("broker/grpc/a.cc", "#include <grpcpp/impl/x.h>\n#include \"broker/shard.h\"\n"), IsEmpty());
}

TEST(IncludeTableTest, AnythingElseIsNamedWithItsPlace) {
  EXPECT_THAT(ViolationsOf("base/a.cc", "#include <string>\n\n#include \"broker/shard.h\"\n"),
              ElementsAre("base/a.cc:3 includes broker/shard.h"));
}

TEST(IncludeTableTest, NeighboursDoNotSeeEachOther) {
  EXPECT_THAT(ViolationsOf("broker/a.cc", "#include \"proxy/proxy.h\"\n"), ElementsAre(HasSubstr("proxy/proxy.h")));
  EXPECT_THAT(ViolationsOf("proxy/a.cc", "#include \"broker/shard.h\"\n"), ElementsAre(HasSubstr("broker/shard.h")));
}

TEST(IncludeTableTest, AFolderDoesNotSeeWhatLiesBelowItOrAllowedOnes) {
  EXPECT_THAT(ViolationsOf("base/a.cc", "#include \"base/simulated/disk.h\"\n"), ElementsAre(HasSubstr("simulated")));
  EXPECT_THAT(ViolationsOf("broker/a.cc", "#include \"base/simulated/disk.h\"\n"), ElementsAre(HasSubstr("simulated")));
  EXPECT_THAT(ViolationsOf("broker/a.cc", "#include \"broker/grpc/service.h\"\n"), ElementsAre(HasSubstr("grpc")));
}

TEST(IncludeTableTest, ARowOfAFolderIsNotAboutTheFoldersBelow) {
  EXPECT_THAT(ViolationsOf("broker/grpc/a.cc", "#include \"barid/log/log.pb.h\"\n"),
              ElementsAre(HasSubstr("log.pb.h")));
}

TEST(IncludeTableTest, ARowOfAFileIsAboutThatFileOnly) {
  const std::string text = "#include <unistd.h>\n#include <sys/stat.h>\n#include <string>\n";
  EXPECT_THAT(Table().Allows("base/real_env.cc", "sys/stat.h"), true);
  EXPECT_THAT(ViolationsOf("base/a.cc", text), ElementsAre(HasSubstr("unistd.h"), HasSubstr("sys/stat.h")));
}

TEST(IncludeTableTest, MessagesAreNotServiceCode) {
  EXPECT_THAT(ViolationsOf("broker/a.cc", "#include \"barid/log/log.grpc.pb.h\"\n"),
              ElementsAre(HasSubstr("log.grpc.pb.h")));
}

TEST(IncludeTableTest, SourcesAreNotIncluded) {
  EXPECT_THAT(ViolationsOf("base/a.cc", "#include \"base/b.cc\"\n"), ElementsAre(HasSubstr("b.cc")));
}

TEST(IncludeTableTest, FoldersWithoutARowAndRowsWithoutAFileAreNamed) {
  EXPECT_THAT(ViolationsOf("cellar/a.cc", ""), ElementsAre("the folder cellar has no row"));
  EXPECT_THAT(Table().Violations({{"base/log.h", ""}}),
              ElementsAre(HasSubstr("base/real_env.cc"), HasSubstr("base/simulated"), HasSubstr("broker "),
                          HasSubstr("proxy"), HasSubstr("broker/grpc")));
}

TEST(IncludeTableTest, ATableThatCannotBeReadIsAnError) {
  EXPECT_THAT(IncludeTable::Parse("# A page\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(IncludeTable::Parse("## Who may include whom\n| a | b |\n|---|---|\n| std | `*` |\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  std::string unknown_word = kTable;
  unknown_word.replace(unknown_word.find("| std |\n"), 8, "| stb |\n");
  EXPECT_THAT(IncludeTable::Parse(unknown_word), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stb")));
}

TEST(IncludesOfTest, ReadsBothFormsAndPassesOverCommentsAndStrings) {
  const auto is = [](const char* header, int line) {
    return AllOf(Field(&Include::header, header), Field(&Include::line, line));
  };
  EXPECT_THAT(IncludesOf("#include <a>\n// #include <b>\n/*\n#include <c>\n*/\n#  include \"d/e.h\"  // Why.\n"
                         "const char* f = \"\\\n#include\";\nint g = 1'000;\n#include <h.h>\n"),
              ElementsAre(is("a", 1), is("d/e.h", 6), is("", 8), is("h.h", 10)));
}

TEST(NotBuiltTest, NamesWhatNoListNames) {
  EXPECT_THAT(NotBuilt({{"CMakeLists.txt", "add_subdirectory(base)\n"},
                        {"base/CMakeLists.txt", "barid_library(base\n  SRCS a.cc sub/b.cc  # c.cc\n  ${HERE}/d.cc)\n"},
                        {"proxy/CMakeLists.txt", "barid_protos(x PROTOS x/y.proto)\n"},
                        {"base/a.cc", ""},
                        {"base/a.h", ""},
                        {"base/sub/b.cc", ""},
                        {"base/c.cc", ""},
                        {"base/d.cc", ""},
                        {"proxy/a.cc", ""},
                        {"api/x/y.proto", ""},
                        {"api/x/z.proto", ""}}),
              ElementsAre(HasSubstr("base/c.cc"), HasSubstr("proxy/a.cc"), HasSubstr("api/x/z.proto")));
}

TEST(MatchesGlobTest, OneStarStaysInAWordTwoGoAnywhere) {
  EXPECT_TRUE(MatchesGlob("*", "string"));
  EXPECT_FALSE(MatchesGlob("*", "unistd.h"));
  EXPECT_FALSE(MatchesGlob("*", "absl/x"));
  EXPECT_TRUE(MatchesGlob("base/*.h", "base/log.h"));
  EXPECT_FALSE(MatchesGlob("base/*.h", "base/simulated/disk.h"));
  EXPECT_FALSE(MatchesGlob("a/*.pb.h", "a/b.grpc.pb.h"));
  EXPECT_TRUE(MatchesGlob("absl/**", "absl/strings/str_cat.h"));
  EXPECT_TRUE(MatchesGlob("**", "any/thing.h"));
  EXPECT_FALSE(MatchesGlob("absl/**", "abseil/x.h"));
}

// --- The tree itself. ---

class TreeTest : public testing::Test {
 protected:
  TreeTest() {
    for (SourceFile& file : ReadTree(absl::StrCat(BARID_SOURCE_DIR, "/docs"), {"architecture.md"}))
      page_ = std::move(file.text);
    absl::StatusOr<IncludeTable> table = IncludeTable::Parse(page_);
    CHECK_OK(table.status());
    table_ = *std::move(table);
  }

  std::string page_;
  IncludeTable table_;
};

TEST_F(TreeTest, EveryIncludeIsAnEdgeOfTheTable) {
  EXPECT_THAT(table_.Violations(ReadProduct(BARID_SOURCE_DIR)), IsEmpty());
}

TEST_F(TreeTest, EverythingIsBuilt) {
  EXPECT_THAT(NotBuilt(ReadTree(BARID_SOURCE_DIR, {"CMakeLists.txt", ".cc", ".proto"})), IsEmpty());
}

// What a change of the page must not allow by the way.
TEST_F(TreeTest, TheTableKeepsGrpcAndServiceCodeInTheirPlaces) {
  for (const char* file : {"base/a.cc", "storage/a.cc", "edge/a.cc", "codec/a.cc", "controller/a.cc", "broker/a.cc",
                           "proxy/a.cc", "proxy/public/a.cc", "base/simulated/a.cc"}) {
    for (const char* header : {"grpcpp/grpcpp.h", "grpc/grpc.h", "apache/rocketmq/v2/service.grpc.pb.h",
                               "barid/controller/v1/controller.grpc.pb.h"}) {
      EXPECT_FALSE(table_.Allows(file, header)) << file << " " << header;
    }
  }
}

TEST_F(TreeTest, TheTableKeepsNeighboursApart) {
  const std::vector<std::string> roles = {"controller", "broker", "proxy"};
  for (const std::string& a : roles) {
    for (const std::string& b : roles) {
      if (a == b) continue;
      for (const char* file : {"/a.cc", "/grpc/a.cc", "/public/a.cc"})
        EXPECT_FALSE(table_.Allows(a + file, b + "/x.h")) << a << " " << b;
    }
    for (const char* below : {"base/a.cc", "storage/a.cc", "edge/a.cc", "edge/grpc/a.cc", "codec/a.cc", "rpc/a.cc"}) {
      EXPECT_FALSE(table_.Allows(below, a + "/x.h")) << below << " " << a;
    }
  }
  EXPECT_FALSE(table_.Allows("proxy/a.cc", "edge/call.h"));
  EXPECT_FALSE(table_.Allows("proxy/a.cc", "apache/rocketmq/v2/definition.pb.h"));
}

TEST_F(TreeTest, TheTableKeepsLibrariesBehindTheirFiles) {
  for (const char* header : {"leveldb/db.h", "openssl/evp.h", "xxhash.h", "prometheus/exposer.h", "yaml-cpp/yaml.h",
                             "CivetServer.h", "unistd.h", "fcntl.h", "pthread.h", "time.h", "sys/random.h"}) {
    for (const char* file :
         {"base/a.cc", "storage/commit_log.cc", "controller/a.cc", "broker/a.cc", "proxy/a.cc", "proxy/public/a.cc"}) {
      EXPECT_FALSE(table_.Allows(file, header)) << file << " " << header;
    }
  }
}

}  // namespace
}  // namespace barid::tree
