// Clock, files, executors and randomness are passed in (docs/architecture.md): the product takes none of them by
// itself. And the checker, on small made-up sources.
#include "tests/tree/hermetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace barid::tree {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> NamesIn(absl::string_view source) {
  std::vector<std::string> names;
  for (const Touch& touch : TouchesOf(source)) names.push_back(touch.name);
  return names;
}

TEST(TouchesOfTest, FindsClocks) {
  for (const char* source :
       {"t = absl::Now();", "auto t = std::chrono::steady_clock::now();", "steady_clock::time_point t;",
        "clock_gettime(CLOCK_REALTIME, &now);", "::clock_gettime(0, &now);", "time(nullptr)", "::time(&t)",
        "std::time(nullptr);", "time( NULL )", "gettimeofday(&tv, nullptr);", "std::chrono::system_clock::now()"}) {
    const std::vector<Touch> touches = TouchesOf(source);
    ASSERT_EQ(touches.size(), 1) << source;
    EXPECT_EQ(touches[0].world, World::kClock) << source;
  }
}

TEST(TouchesOfTest, FindsSleepsAndThreads) {
  EXPECT_THAT(NamesIn("absl::SleepFor(d); std::this_thread::sleep_for(d); usleep(5); ::sleep(1); nanosleep(&a, &b);"),
              ElementsAre("absl::SleepFor", "std::this_thread::sleep_for", "usleep", "::sleep", "nanosleep"));
  EXPECT_THAT(
      NamesIn("std::thread t; ::std::thread u; std::jthread v; std::async(f); pthread_create(&x, 0, f, 0); ::fork();"
              "std::thread::hardware_concurrency();"),
      ElementsAre("std::thread", "::std::thread", "std::jthread", "std::async", "pthread_create", "::fork",
                  "std::thread::hardware_concurrency"));
}

TEST(TouchesOfTest, FindsFilesAndRandomDevices) {
  EXPECT_THAT(
      NamesIn("::open(p, 0); fopen(p, m); std::fopen(p, m); std::ifstream f(p); ::pread(1, b, n, 0); fdatasync(1);"
              "std::filesystem::exists(p); ::unlink(p);"),
      ElementsAre("::open", "fopen", "std::fopen", "std::ifstream", "::pread", "fdatasync", "std::filesystem::exists",
                  "::unlink"));
  EXPECT_THAT(
      NamesIn("std::random_device d; std::mt19937_64 g; rand(); std::rand(); getrandom(&a, 1, 0); absl::BitGen b;"),
      ElementsAre("std::random_device", "std::mt19937_64", "rand", "std::rand", "getrandom", "absl::BitGen"));
}

TEST(TouchesOfTest, FindsTheEnvironment) {
  EXPECT_THAT(
      NamesIn(
          "getenv(\"DELAY\"); std::getenv(name); setenv(name, value, 1); for (char** line = environ; *line; ++line);"),
      ElementsAre("getenv", "std::getenv", "setenv", "environ"));
}

TEST(TouchesOfTest, PassesOverWordsOfOurOwn) {
  EXPECT_THAT(
      TouchesOf("clock_->Now(); env_->Open(path); open(queue->first); delivery.time(); store->rename(a); file.pread(b);"
                "int64_t time = 0; timer(nullptr); draft.born_time(0); random->Next(); operand(); runtime(nullptr);"
                "std::this_thread::get_id(); std::clock_like x; Env::open(p); Ring<T>::read(p); Random* random(); "
                "request.start().time();"),
      IsEmpty());
}

TEST(TouchesOfTest, PassesOverCommentsStringsAndIncludes) {
  EXPECT_THAT(TouchesOf("// absl::Now()\n/* std::thread */\nconst char* s = \"std::thread \\\" absl::Now()\";\n"
                        "#include <thread>\nconst char* r = R\"x(std::async)\" )x\";\n"),
              IsEmpty());
}

TEST(TouchesOfTest, FindsWhatFollowsAStringOrANumber) {
  EXPECT_THAT(NamesIn("f(\"a // b\", 'c', '\"', 1'000); absl::Now();"), ElementsAre("absl::Now"));
  EXPECT_EQ(TouchesOf("a;\n\n  absl::Now();\n")[0].line, 3);
}

TEST(HermeticViolationsTest, NamesPlaceAndWorld) {
  EXPECT_THAT(Violations({{"broker/a.cc", "x;\nabsl::Now();"}}, {}),
              ElementsAre("broker/a.cc:2 takes a clock by itself: absl::Now"));
}

TEST(HermeticViolationsTest, AnExceptionIsForItsFilesAndWorldOnly) {
  const std::vector<Exception> exceptions = {{"base/clock.cc", {World::kClock}}, {"**/grpc/**", {}}};
  const std::string clock = "absl::Now();";
  EXPECT_THAT(Violations({{"base/clock.cc", clock}, {"broker/grpc/a.cc", clock}}, exceptions), IsEmpty());
  EXPECT_THAT(Violations({{"base/clock.cc", clock + "std::thread t;"}}, exceptions),
              ElementsAre(HasSubstr("std::thread")));
  EXPECT_THAT(Violations({{"base/clock.cc", clock}, {"base/clock.h", clock}}, exceptions),
              ElementsAre(HasSubstr("base/clock.h:1")));
  EXPECT_THAT(Violations({{"base/clock.cc", clock}, {"grpc.cc", clock}}, exceptions),
              ElementsAre(HasSubstr("grpc.cc:1")));
}

TEST(HermeticViolationsTest, AnExceptionThatNobodyNeedsIsNamed) {
  EXPECT_THAT(Violations({{"base/clock.cc", ""}}, {{"base/clock.cc", {World::kClock}}}),
              ElementsAre(HasSubstr("drop the exception")));
}

// --- The tree itself. ---

TEST(HermeticTest, NobodyTakesTheWorldByItself) {
  EXPECT_THAT(Violations(ReadProduct(BARID_SOURCE_DIR), Exceptions()), IsEmpty());
}

}  // namespace
}  // namespace barid::tree
