#ifndef BARID_TESTS_BROKER_SHARD_FIXTURE_H_
#define BARID_TESTS_BROKER_SHARD_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/simulated/disk.h"
#include "base/simulated/executor.h"
#include "base/stored_message.h"
#include "broker/shard.h"
#include "gtest/gtest.h"

namespace barid::broker {

inline constexpr ShardId kShard{1};

// A shard that leads, on a simulated disk, clock and executors. Whoever derives from this puts its options and tables
// in before the shard starts.
class ShardFixture : public testing::Test {
 protected:
  // What is logged below `level` is expected, and not shown.
  explicit ShardFixture(LogLevel level = LogLevel::kFatal) : world_(1), disk_(1) {
    options_.log.log_id = 7;
    options_.log.segment_bytes = 1 << 22;
    options_.disk_reserve_bytes = 1 << 20;
    SetMinLogLevel(level);
  }
  ~ShardFixture() override {
    Stop();
    SetMinLogLevel(LogLevel::kInfo);
  }

  // With what is on the disk.
  void Start() {
    for (auto* executor : Executors()) *executor = world_.NewExecutor("");
    ShardContext context{&disk_,
                         world_.clock(),
                         shard_executor_.get(),
                         disk_executor_.get(),
                         read_executor_.get(),
                         checkpoint_executor_.get(),
                         lookup_executor_.get()};
    shard_ = Shard::Open(kShard, "/shard", options_, context).value();
    Tell();
    absl::Status led = absl::UnknownError("no answer");
    world_.RunOn(shard_executor_.get(),
                 [&] { shard_->Lead(++epoch_, "broker", [&led](absl::Status status) { led = std::move(status); }); });
    world_.RunUntil([&] { return !absl::IsUnknown(led); }, absl::Seconds(10));
    CHECK_OK(led);
  }
  void Stop() {
    if (shard_ == nullptr) return;
    world_.RunOn(shard_executor_.get(), [this] { shard_ = nullptr; });
    for (auto* executor : Executors()) world_.Stop(executor->get());
  }
  void Restart() {
    Stop();
    Start();
  }
  void Crash() {
    disk_.CutPower();
    Restart();
  }
  // The tables, as news.
  void Tell() {
    ++tables_.revision;
    world_.RunOn(shard_executor_.get(), [this] { shard_->SetMetadata(std::make_shared<const Metadata>(tables_)); });
  }

  // Runs the shard's method until it answers.
  template <typename Result, typename Call>
  Result Ask(void (Shard::*method)(Call, Callback<Result>), Call call) {
    auto result = std::make_shared<std::optional<Result>>();
    world_.RunOn(shard_executor_.get(),
                 [&] { (shard_.get()->*method)(std::move(call), [result](Result got) { *result = std::move(got); }); });
    world_.RunUntil([&] { return result->has_value(); }, absl::Seconds(60));
    CHECK(result->has_value());
    return std::move(**result);
  }
  // A receive that may wait.
  std::shared_ptr<std::optional<ReceiveResult>> StartReceive(ReceiveCall call) {
    auto result = std::make_shared<std::optional<ReceiveResult>>();
    world_.RunOn(shard_executor_.get(), [&] {
      shard_->Receive(++next_call_, std::move(call), [result](ReceiveResult got) { *result = std::move(got); });
    });
    return result;
  }

  // Message ids.
  static std::vector<std::string> Ids(const std::vector<Delivery>& deliveries) {
    std::vector<std::string> ids;
    for (const Delivery& delivery : deliveries)
      ids.emplace_back(DecodeStoredMessage(delivery.stored.view()).value().message_id);
    return ids;
  }
  static std::vector<std::string> Ids(const ReceiveResult& result) { return Ids(result.deliveries); }

  SimulatedWorld world_;
  SimulatedDisk disk_;
  ShardOptions options_;
  Metadata::Tables tables_;
  std::unique_ptr<Executor> shard_executor_, disk_executor_, read_executor_, checkpoint_executor_, lookup_executor_;
  std::unique_ptr<Shard> shard_;
  Epoch epoch_ = 0;
  uint64_t next_call_ = 0;  // Receives and pulls are numbered.

 private:
  std::vector<std::unique_ptr<Executor>*> Executors() {
    return {&shard_executor_, &disk_executor_, &read_executor_, &checkpoint_executor_, &lookup_executor_};
  }
};

}  // namespace barid::broker

#endif  // BARID_TESTS_BROKER_SHARD_FIXTURE_H_
