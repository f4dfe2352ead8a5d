#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace barid {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

std::vector<std::string>* lines = nullptr;

class LogTest : public testing::Test {
 protected:
  LogTest() {
    lines = &lines_;
    SetLogSink([](LogLevel, absl::string_view line) { lines->emplace_back(line); });
  }
  ~LogTest() override {
    SetLogSink(nullptr);
    SetLogFormat(LogFormat::kText);
    SetMinLogLevel(LogLevel::kInfo);
  }

  std::vector<std::string> lines_;
};

TEST_F(LogTest, LevelsBelowTheMinimumCostNothing) {
  int evaluated = 0;
  LOG(DEBUG) << "not seen" << ++evaluated;
  SetMinLogLevel(LogLevel::kError);
  LOG(WARNING) << "not seen" << ++evaluated;
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_EQ(evaluated, 0);
}

TEST_F(LogTest, ATextLineHasTimeLevelEventAndValues) {
  LOG(INFO) << "segment rolled" << KV("shard", 3) << KV("path", "a b");
  EXPECT_THAT(lines_, ElementsAre(MatchesRegex("20..-..-..T..:..:..\\....Z INFO    segment rolled shard=3 path=\"a b\" "
                                               "\\(log_test.cc:[0-9]+\\)")));
}

TEST_F(LogTest, ANewlineInAValueDoesNotBreakTheLine) {
  LOG(ERROR) << "odd" << KV("text", "two\nlines\"");
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], HasSubstr(R"(text="two\nlines\"")"));
}

TEST_F(LogTest, AJsonLineIsOneObject) {
  SetLogFormat(LogFormat::kJson);
  LOG(WARNING) << "disk \"a\" nearly full" << KV("bytes", 12) << KV("text", "a\tb\\");
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], AllOf(testing::StartsWith("{\"time\":\"20"), testing::EndsWith("}"),
                               HasSubstr(R"("level":"WARNING")"), HasSubstr(R"("event":"disk \"a\" nearly full")"),
                               HasSubstr(R"("bytes":"12")"), HasSubstr(R"("text":"a\u0009b\\")")));
}

TEST(CheckDeathTest, CrashesWithTheValues) {
  const int found = 3;
  EXPECT_DEATH(CHECK_EQ(found, 4) << "queues", "check failed.*3 vs 4.*queues");
}

}  // namespace
}  // namespace barid
