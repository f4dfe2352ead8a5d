#include "proxy/public/health_handler.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "grpc/health/v1/health.pb.h"
#include "proxy/public/conversions.h"
#include "proxy/public/frame_writer.h"

namespace barid::proxy {

namespace health = ::grpc::health::v1;

namespace {

constexpr size_t kMaxWatchFrames = 4;  // Only the last counts.

bool IsServedHere(absl::string_view service) {
  return service.empty() || service == "apache.rocketmq.v2.MessagingService" || service == "apache.rocketmq.v2.Admin" ||
         service == "barid.admin.v1.Admin";
}

Bytes Response(health::HealthCheckResponse::ServingStatus status) {
  health::HealthCheckResponse response;
  response.set_status(status);
  return Serialize(response);
}

Bytes Response(bool serving) {
  return Response(serving ? health::HealthCheckResponse::SERVING : health::HealthCheckResponse::NOT_SERVING);
}

}  // namespace

class HealthState {
 public:
  // Pushes the state now; and at each change until Remove.
  void Watch(const std::shared_ptr<FrameWriter>& watcher) {
    MutexLock lock(&mu_);
    watchers_.insert(watcher);
    pending_.push_back(watcher);
  }
  void Remove(const std::shared_ptr<FrameWriter>& watcher) {
    MutexLock lock(&mu_);
    watchers_.erase(watcher);
  }
  bool serving() {
    MutexLock lock(&mu_);
    return serving_;
  }
  void Set(bool serving) {
    {
      MutexLock lock(&mu_);
      if (std::exchange(serving_, serving) == serving) return;
      pending_.insert(pending_.end(), watchers_.begin(), watchers_.end());
    }
    Tell();
  }
  // Tells those who have something to hear. One thread at a time does, so that all hear the newest state last.
  void Tell() {
    while (true) {
      std::vector<std::shared_ptr<FrameWriter>> told;
      bool serving = false;
      {
        MutexLock lock(&mu_);
        if (telling_ || pending_.empty()) return;
        telling_ = true;
        told.swap(pending_);
        serving = serving_;
      }
      for (const std::shared_ptr<FrameWriter>& watcher : told) watcher->Push(Response(serving));
      MutexLock lock(&mu_);
      telling_ = false;
    }
  }

 private:
  Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool telling_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<std::shared_ptr<FrameWriter>> watchers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<FrameWriter>> pending_ ABSL_GUARDED_BY(mu_);
};

namespace {

class WatchStream : public edge::StreamHandler {
 public:
  WatchStream(std::shared_ptr<HealthState> state, std::shared_ptr<edge::Stream> stream)
      : state_(std::move(state)), writer_(std::make_shared<FrameWriter>(std::move(stream), kMaxWatchFrames)) {}

  void OnMessage(Bytes message) override {
    if (std::exchange(started_, true)) return;
    health::HealthCheckRequest request;
    if (const absl::Status status = Parse(message, &request); !status.ok()) return writer_->Finish(status);
    if (!IsServedHere(request.service())) return writer_->Push(Response(health::HealthCheckResponse::SERVICE_UNKNOWN));
    state_->Watch(writer_);
    state_->Tell();
  }
  void OnHalfClose() override {
    if (!started_) writer_->Finish(absl::InvalidArgumentError("the call has no request"));
  }
  void OnWritable() override { writer_->OnWritable(); }
  void OnDrain() override { writer_->Finish(absl::UnavailableError("the server stops")); }
  void OnDone(bool delivered) override {
    state_->Remove(writer_);
    writer_->Close();
  }

 private:
  const std::shared_ptr<HealthState> state_;
  const std::shared_ptr<FrameWriter> writer_;
  bool started_ = false;
};

}  // namespace

HealthService::HealthService() : state_(std::make_shared<HealthState>()) {}

void HealthService::SetServing(bool serving) { state_->Set(serving); }

void HealthService::AddTo(edge::MethodTable* table) {
  table->unary["/grpc.health.v1.Health/Check"] = [state = state_](std::unique_ptr<edge::UnaryCall> call) {
    health::HealthCheckRequest request;
    if (const absl::Status status = Parse(call->request(), &request); !status.ok()) return call->Fail(status);
    if (!IsServedHere(request.service())) {
      return call->Fail(
          absl::NotFoundError(absl::StrCat("the service \"", request.service(), "\" is not served here")));
    }
    call->Answer(Response(state->serving()));
  };
  table->streams["/grpc.health.v1.Health/Watch"] = [state = state_](std::shared_ptr<edge::Stream> stream) {
    return std::make_shared<WatchStream>(state, std::move(stream));
  };
}

}  // namespace barid::proxy
