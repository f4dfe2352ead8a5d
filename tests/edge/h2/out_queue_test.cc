#include "edge/h2/out_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/random.h"

namespace barid::edge::h2 {
namespace {

// What is written if the kernel takes at most `most` bytes at a time.
std::string Drain(OutQueue* out, size_t most) {
  std::string written;
  while (!out->empty()) {
    iovec parts[4];
    const int count = out->Peek(parts, 4);
    EXPECT_GT(count, 0);
    size_t taken = 0;
    for (int i = 0; i < count; ++i) {
      EXPECT_GT(parts[i].iov_len, 0);
      const size_t size = std::min(most - taken, parts[i].iov_len);
      written.append(static_cast<const char*>(parts[i].iov_base), size);
      taken += size;
    }
    out->Pop(taken);
  }
  return written;
}

TEST(OutQueueTest, GivesBackWhatWasAppendedHoweverItIsTaken) {
  for (const size_t most : {1, 7, 2048, 16384, 1 << 30}) {
    ChunkPool pool;
    OutQueue out(&pool);
    SeededRandom random(1);
    std::string expected;
    for (int i = 0; i < 60; ++i) {
      const std::string bytes = random.Bytes(random.Below(i % 10 == 0 ? 40000 : 300));
      if (random.Below(2) == 0) {
        out.Append(bytes);
      } else {
        out.Append(Buffer(bytes));
      }
      expected += bytes;
    }
    EXPECT_EQ(out.size(), expected.size());
    EXPECT_EQ(out.appended(), expected.size());
    EXPECT_EQ(Drain(&out, most), expected);
    EXPECT_EQ(out.written(), expected.size());
    EXPECT_EQ(out.appended(), expected.size());
    EXPECT_TRUE(out.empty());
  }
}

TEST(OutQueueTest, AppendsWhileItIsTaken) {
  ChunkPool pool;
  OutQueue out(&pool);
  SeededRandom random(2);
  std::string expected;
  std::string written;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random.Bytes(random.Below(4000));
    random.Below(2) == 0 ? out.Append(bytes) : out.Append(Buffer(bytes));
    expected += bytes;
    iovec part;
    while (out.size() > 8000 && out.Peek(&part, 1) == 1) {
      const size_t size = 1 + random.Below(part.iov_len);
      written.append(static_cast<const char*>(part.iov_base), size);
      out.Pop(size);
    }
  }
  EXPECT_EQ(written + Drain(&out, 100000), expected);
}

TEST(OutQueueTest, RefersToLargePartsAndLetsThemGo) {
  ChunkPool pool;
  OutQueue out(&pool);
  const auto owner = std::make_shared<const std::string>(OutQueue::kByReference, 'x');
  const std::weak_ptr<const std::string> there = owner;
  {
    out.Append(Buffer(owner, *owner));
    iovec part;
    ASSERT_EQ(out.Peek(&part, 1), 1);
    EXPECT_EQ(part.iov_base, owner->data());
  }
  EXPECT_EQ(there.use_count(), 2);
  out.Pop(1);
  EXPECT_EQ(there.use_count(), 2);
  out.Pop(out.size());
  EXPECT_EQ(there.use_count(), 1);
}

TEST(OutQueueTest, CopiesSmallPartsTogether) {
  ChunkPool pool;
  OutQueue out(&pool);
  const auto owner = std::make_shared<const std::string>(OutQueue::kByReference - 1, 'x');
  out.Append(Buffer(owner, *owner));
  out.Append("abc");
  EXPECT_EQ(owner.use_count(), 1);
  iovec parts[2];
  EXPECT_EQ(out.Peek(parts, 2), 1);
}

TEST(OutQueueTest, NothingIsNothing) {
  ChunkPool pool;
  OutQueue out(&pool);
  out.Append("");
  out.Append(Buffer());
  iovec part;
  EXPECT_EQ(out.Peek(&part, 1), 0);
  EXPECT_TRUE(out.empty());
}

TEST(ChunkPoolTest, GivesWhatWasReturned) {
  ChunkPool pool;
  std::string chunk = pool.Take();
  EXPECT_TRUE(chunk.empty());
  const char* const data = chunk.data();
  chunk = "some text that is longer than what a string holds in itself";
  EXPECT_EQ(chunk.data(), data);
  pool.Return(std::move(chunk));
  chunk = pool.Take();
  EXPECT_TRUE(chunk.empty());
  EXPECT_EQ(chunk.data(), data);
}

}  // namespace
}  // namespace barid::edge::h2
