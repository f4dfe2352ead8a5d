#include "standalone/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace barid {
namespace {

TEST(CoresTest, AQuotaIsRoundedUp) {
  EXPECT_EQ(CoresOfQuota("200000 100000"), 2);
  EXPECT_EQ(CoresOfQuota("250000 100000\n"), 3);
  EXPECT_EQ(CoresOfQuota("50000 100000"), 1);
  EXPECT_EQ(CoresOfQuota("9223372036854775807 1"), 2147483647);
}

TEST(CoresTest, NoLimitAndNonsenseAreNoQuota) {
  for (const char* text : {"max 100000", "", "100000", "0 100000", "-1 100000", "100000 0", "1 2 3", "a b"}) {
    EXPECT_EQ(CoresOfQuota(text), std::nullopt) << text;
  }
}

// On a thread of its own, whose affinity ends with it.
TEST(CoresTest, AProcessHasNoMoreThanItsAffinity) {
  const int all = AvailableCores();
  EXPECT_GE(all, 1);
  int pinned = 0;
  std::thread([&pinned] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    pinned = AvailableCores();
  }).join();
  EXPECT_EQ(pinned, 1);
}

}  // namespace
}  // namespace barid
