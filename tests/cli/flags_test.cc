#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/command.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Options {
  int32_t count = 0;
  absl::Duration wait;
  int64_t size = 0;
  bool quick = false;
  std::vector<std::string> keys;

  absl::Status Parse(std::vector<std::string> args) {
    flags.Add("count", &count, Default(1), Between(1, 10), "How many.");
    flags.Add("max_wait", &wait, Default(absl::Seconds(5)), "How long.");
    flags.Add("size", &size, Default(1 * kKiB), AtLeast(1 * kKiB), "How large.");
    flags.Add("quick", &quick, Default(false), "Whether.");
    flags.AddRepeated("key", &keys, "Which.");
    return flags.Parse(args, /*until_positional=*/false, &positional);
  }
  FlagSet flags;
  std::vector<std::string> positional;
};

TEST(FlagSetTest, ReadsValuesWithUnitsInBothSpellings) {
  Options options;
  ASSERT_TRUE(options.Parse({"a", "--count=3", "--max-wait", "1m30s", "--size=64KiB", "--quick", "b"}).ok());
  EXPECT_EQ(options.count, 3);
  EXPECT_EQ(options.wait, absl::Seconds(90));
  EXPECT_EQ(options.size, 65536);
  EXPECT_TRUE(options.quick);
  EXPECT_THAT(options.positional, ElementsAre("a", "b"));
}

TEST(FlagSetTest, ReadsDays) {
  Options options;
  ASSERT_TRUE(options.Parse({"--max-wait=3d"}).ok());
  EXPECT_EQ(options.wait, absl::Hours(72));
}

TEST(FlagSetTest, TakesRepeatedValuesWholeAndEverythingBehindTwoDashes) {
  Options options;
  ASSERT_TRUE(options.Parse({"--key", "a,b", "--key=%c", "--", "--count"}).ok());
  EXPECT_THAT(options.keys, ElementsAre("a,b", "%c"));
  EXPECT_THAT(options.positional, ElementsAre("--count"));
}

TEST(FlagSetTest, KnowsWhatWasGiven) {
  Options options;
  ASSERT_TRUE(options.Parse({"--count=1"}).ok());
  EXPECT_TRUE(options.flags.Given("count"));
  EXPECT_FALSE(options.flags.Given("size"));
}

// Every command line that makes no sense: exit code 2, one sentence, nothing on standard output.
struct BadLine {
  const char* name;
  std::vector<std::string> args;
  const char* sentence;
};

void PrintTo(const BadLine& line, std::ostream* out) { *out << absl::StrJoin(line.args, " "); }

class UsageTest : public testing::TestWithParam<BadLine> {};

TEST_P(UsageTest, ExitsWithTwoAndASentence) {
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(RunCommandLine(GetParam().args, out, err), ExitCode::kUsage);
  EXPECT_EQ(out.str(), "");
  EXPECT_THAT(err.str(), HasSubstr(GetParam().sentence));
  EXPECT_THAT(err.str(), testing::StartsWith("baridctl: "));
  EXPECT_THAT(err.str(), testing::EndsWith(".\n"));
}

INSTANTIATE_TEST_SUITE_P(
    All, UsageTest,
    testing::Values(
        BadLine{"Nothing", {}, "there is no command"},
        BadLine{"UnknownCommand", {"sned"}, "there is no command \"sned\""},
        BadLine{"HalfACommand", {"topic"}, "behind topic stands one of create, list, describe, update, delete"},
        BadLine{"WrongHalf", {"group", "make", "x"}, "\"group make\" is no command"},
        BadLine{"UnknownFlag", {"status", "--colour"}, "there is no flag --colour"},
        BadLine{"UnknownShortFlag", {"status", "-x"}, "there is no flag -x"},
        BadLine{"UnknownLeadingFlag", {"--colour", "status"}, "there is no flag --colour"},
        BadLine{"FlagWithoutValue", {"status", "--endpoint"}, "--endpoint has no value"},
        BadLine{"BadOutput", {"status", "-o", "xml"}, "-o is \"xml\", expected one of text, json"},
        BadLine{"BadTimeout", {"status", "--timeout=soon"}, "--timeout is \"soon\", expected a duration"},
        BadLine{"BadEndpoint", {"status", "--endpoint=localhost"}, "--endpoint is \"localhost\", expected HOST:PORT"},
        BadLine{"NoName", {"topic", "create"}, "expected baridctl topic create NAME"},
        BadLine{"TwoNames", {"topic", "create", "a", "b"}, "\"b\" is too much"},
        BadLine{"BadTopicName", {"topic", "create", "a b"}, "illegal character"},
        BadLine{"BadType", {"topic", "create", "a", "--type=odd"}, "--type is \"odd\""},
        BadLine{
            "NoQueues", {"topic", "create", "a", "--queues=0"}, "--queues is \"0\", expected a whole number, from 1"},
        BadLine{"TooManyQueues",
                {"topic", "create", "a", "--queues=65"},
                "--queues is \"65\", expected a whole number, from 1 to 64"},
        BadLine{"BadRetention", {"topic", "create", "a", "--retention=3"}, "--retention is \"3\""},
        BadLine{"BadSize", {"topic", "create", "a", "--max-message-bytes=big"}, "--max-message-bytes is \"big\""},
        BadLine{"LongRetention", {"topic", "create", "a", "--retention=3651d"}, "--retention is \"3651d\""},
        BadLine{"LargeSize", {"topic", "create", "a", "--max-message-bytes=5MiB"}, "to 4MiB"},
        BadLine{"NoChange", {"topic", "update", "a"}, "nothing to change"},
        BadLine{"NoGroupChange", {"group", "update", "a"}, "nothing to change"},
        BadLine{"BadOrder", {"group", "create", "g", "--order=lifo"}, "expected one of none, fifo"},
        BadLine{"BadAttempts", {"group", "create", "g", "--max-attempts=0"}, "--max-attempts is \"0\""},
        BadLine{"BadBackoff", {"group", "create", "g", "--backoff=1s,x"}, "--backoff has \"x\""},
        BadLine{"LongBackoff",
                {"group", "create", "g", "--backoff=1s,25h"},
                "--backoff has \"25h\", expected durations up to 24h between commas"},
        BadLine{"ManyBackoffs",
                {"group", "update", "g", absl::StrCat("--backoff=", absl::StrJoin(std::vector<int>(65, 0), "s,"), "s")},
                "--backoff has 65 delays, expected at most 64"},
        BadLine{"BadStart", {"group", "create", "g", "--start=now"}, "--start is \"now\""},
        BadLine{"NoBody", {"send", "t"}, "either by --body TEXT or by --file PATH"},
        BadLine{"TwoBodies", {"send", "t", "--body=a", "--file=b"}, "either by --body TEXT or by --file PATH"},
        BadLine{"EmptyBody", {"send", "t", "--body="}, "the body is empty"},
        BadLine{"NoFile", {"send", "t", "--file=/nonexistent"}, "cannot be read"},
        BadLine{"BadProperty", {"send", "t", "--body=a", "--property=k"}, "expected NAME=VALUE"},
        BadLine{"NoCount", {"send", "t", "--body=a", "--count=0"}, "--count is \"0\""},
        BadLine{"NoGroup", {"receive", "t"}, "--group is missing"},
        BadLine{"ShortInvisible", {"receive", "t", "--group=g", "--invisible=9s"}, "from 10s to 12h"},
        BadLine{"LongInvisible", {"receive", "t", "--group=g", "--invisible=13h"}, "from 10s to 12h"},
        BadLine{"NegativeWait", {"receive", "t", "--group=g", "--wait=-1s"}, "--wait is \"-1s\""},
        BadLine{"BadShell", {"completion", "fish"}, "expected bash or zsh"},
        BadLine{"BadRate", {"bench", "send", "--rate=-1"}, "--rate is \"-1\""},
        BadLine{"BadAck", {"bench", "receive", "--ack=none"}, "expected one of batch, single"},
        BadLine{"EndToEndBaseline", {"bench", "e2e", "--baseline"}, "there is no flag --baseline"},
        BadLine{"BadServerPid", {"bench", "send", "--server-pid=0x1"}, "--server-pid has \"0x1\""}),
    [](const testing::TestParamInfo<BadLine>& info) { return info.param.name; });

TEST(CommandLineTest, HelpNamesEveryCommand) {
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(RunCommandLine(std::vector<std::string>{"--help"}, out, err), ExitCode::kDone);
  for (const CommandEntry& entry : Commands()) {
    if (entry.hidden) continue;
    EXPECT_THAT(out.str(), HasSubstr(entry.words));
  }
  EXPECT_THAT(out.str(), HasSubstr("Exit codes: 0 done"));
}

TEST(CommandLineTest, HelpOfACommandShowsItsFlagsAndDefaults) {
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(RunCommandLine(std::vector<std::string>{"group", "create", "-h"}, out, err), ExitCode::kDone);
  EXPECT_THAT(out.str(), HasSubstr("baridctl group create NAME"));
  EXPECT_THAT(out.str(), testing::ContainsRegex("--max-attempts.*Default: 17"));
}

TEST(CommandLineTest, CompletionKnowsCommandsAndFlags) {
  for (const char* shell : {"bash", "zsh"}) {
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(RunCommandLine(std::vector<std::string>{"completion", shell}, out, err), ExitCode::kDone);
    EXPECT_THAT(out.str(), HasSubstr("\"topic\") COMPREPLY=($(compgen -W \"create list describe update delete\""));
    EXPECT_THAT(out.str(), HasSubstr("--max-attempts"));
    EXPECT_THAT(out.str(), testing::Not(HasSubstr("echo-server")));
  }
}

TEST(ExitCodeTest, FailuresKeepTheirCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), ExitCode::kDone);
  EXPECT_EQ(ExitCodeOf(RefusedError("x")), ExitCode::kRefused);
  EXPECT_EQ(ExitCodeOf(UsageError("x")), ExitCode::kUsage);
  EXPECT_EQ(ExitCodeOf(NothingReceivedError("x")), ExitCode::kNothingReceived);
  EXPECT_EQ(ExitCodeOf(UnreachableError("x")), ExitCode::kUnreachable);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("from elsewhere")), ExitCode::kRefused);
}

}  // namespace
}  // namespace barid::cli
