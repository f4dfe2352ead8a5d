#include "cli/bench/send_load.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "base/clock.h"
#include "base/log.h"
#include "google/protobuf/arena.h"

namespace barid::cli {
namespace {

constexpr size_t kRunDigits = 8;
constexpr size_t kNumberDigits = 12;
constexpr size_t kIdBytes = kRunDigits + kNumberDigits;

// Twenty bytes fit into a slice; more would be allocated for every message.
static_assert(kIdBytes <= GRPC_SLICE_INLINED_SIZE);

// kNumberDigits of them.
void WriteNumber(uint64_t number, char* digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (size_t j = kNumberDigits; j > 0; --j, number >>= 4) digits[j - 1] = kDigits[number & 0xf];
}

const std::string& Method() {
  static const auto* const method = new std::string("/apache.rocketmq.v2.MessagingService/SendMessage");
  return *method;
}

}  // namespace

SendRequests::SendRequests(v2::Message message, uint32_t run, Vary vary)
    : run_(absl::StrFormat("%08x", run)), message_(std::move(message)), vary_(std::move(vary)) {
  const std::string placeholder(kIdBytes, '?');
  v2::SendMessageRequest request;
  message_.mutable_system_properties()->set_message_id(placeholder);
  *request.add_messages() = message_;
  const std::string bytes = request.SerializeAsString();
  const size_t id = bytes.find(placeholder);  // The body, which may hold anything, is behind it.
  CHECK(id != std::string::npos);
  before_id_ = grpc::Slice(bytes.substr(0, id));
  after_id_ = grpc::Slice(bytes.substr(id + kIdBytes));
}

std::string SendRequests::IdOf(uint32_t run, uint64_t number) {
  std::string id = absl::StrFormat("%08x", run);
  id.resize(kIdBytes);
  WriteNumber(number, id.data() + kRunDigits);
  return id;
}

grpc::ByteBuffer SendRequests::Make(uint64_t first, int count) const {
  char id[kIdBytes];
  memcpy(id, run_.data(), kRunDigits);
  if (vary_) {
    v2::SendMessageRequest request;
    for (int i = 0; i < count; ++i) {
      WriteNumber(first + i, id + kRunDigits);
      v2::Message* const message = request.add_messages();
      *message = message_;
      message->mutable_system_properties()->set_message_id(id, kIdBytes);
      vary_(first + i, message);
    }
    return Serialized(request);
  }
  // Requests behind one another are one request with the messages of all.
  absl::InlinedVector<grpc::Slice, 3> slices;
  for (int i = 0; i < count; ++i) {
    WriteNumber(first + i, id + kRunDigits);
    slices.push_back(before_id_);
    slices.emplace_back(id, kIdBytes);
    slices.push_back(after_id_);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

int64_t SendRequests::NumberOf(absl::string_view message_id) const {
  uint64_t number = 0;
  if (message_id.size() != kIdBytes || message_id.substr(0, kRunDigits) != run_) return -1;
  if (!absl::SimpleHexAtoi(message_id.substr(kRunDigits), &number)) return -1;
  return static_cast<int64_t>(number);
}

// Makes a call and counts its messages.
class SendLoad::Call : public RawUnaryCall {
 public:
  Call(SendLoad* load, Lane* lane) : load_(load), lane_(lane) {}

 protected:
  ~Call() = default;

  void Send(absl::Duration since, uint64_t first, int messages) {
    since_ = since;
    messages_ = messages;
    Start(lane_, Method(), load_->requests_->Make(first, messages));
  }

  // Whether it makes sense to go on.
  bool Count(const grpc::Status& status, grpc::ByteBuffer* response) {
    Meter& meter = lane_->meter();
    if (!status.ok()) {
      meter.Fail(absl::StrCat(status.error_message(), " (gRPC status ", status.error_code(), ")"));
      return status.error_code() != grpc::StatusCode::UNAVAILABLE;
    }
    alignas(8) char memory[1024];
    google::protobuf::Arena arena(memory, sizeof(memory));
    auto* const answer = google::protobuf::Arena::CreateMessage<v2::SendMessageResponse>(&arena);
    if (!ParseFrom(response, answer)) {
      meter.Fail("the answer cannot be parsed");
    } else if (answer->status().code() != v2::OK) {
      meter.Fail(absl::StrCat(answer->status().message(), " (", v2::Code_Name(answer->status().code()), ")"));
    } else if (lane_->is_measuring()) {
      meter.sent += messages_;
      ++meter.calls;
      meter.send.Record(RealClock()->SinceBoot() - since_);
    }
    return true;
  }

  SendLoad* const load_;
  Lane* const lane_;

 private:
  absl::Duration since_;
  int messages_ = 0;
};

class SendLoad::LoopCall final : public Call {
 public:
  using Call::Call;

  void Begin() {
    lane_->active().fetch_add(1);
    Next();
  }

 private:
  void Next() {
    uint64_t first = 0;
    const int messages = lane_->is_stopping() ? 0 : load_->Take(&first);
    if (messages == 0) {
      lane_->active().fetch_sub(1);
    } else {
      Send(RealClock()->SinceBoot(), first, messages);
    }
  }

  void OnDone(const grpc::Status& status, grpc::ByteBuffer* response) override {
    if (Count(status, response)) {
      Next();
    } else {
      lane_->active().fetch_sub(1);
    }
  }
};

class SendLoad::SingleCall final : public Call {
 public:
  using Call::Call;

  uint64_t Begin(absl::Duration due) {
    lane_->active().fetch_add(1);
    load_->outstanding_.fetch_add(1);
    const uint64_t number = load_->next_number_.fetch_add(1, std::memory_order_relaxed);
    Send(due, number, 1);
    return number;
  }

 private:
  void OnDone(const grpc::Status& status, grpc::ByteBuffer* response) override {
    Count(status, response);
    load_->outstanding_.fetch_sub(1);
    lane_->active().fetch_sub(1);
    delete this;
  }
};

SendLoad::SendLoad(std::vector<Lane*> lanes, const SendRequests* requests)
    : lanes_(std::move(lanes)), requests_(requests) {}
SendLoad::~SendLoad() = default;

int SendLoad::Take(uint64_t* first) {
  *first = next_number_.load(std::memory_order_relaxed);
  while (true) {
    const int64_t left = limit_ > 0 ? limit_ - static_cast<int64_t>(*first) : batch_;
    const int count = static_cast<int>(std::clamp<int64_t>(left, 0, batch_));
    if (next_number_.compare_exchange_weak(*first, *first + count, std::memory_order_relaxed)) return count;
  }
}

void SendLoad::StartClosedLoop(int outstanding, int batch, int64_t limit) {
  batch_ = batch;
  limit_ = limit;
  for (int i = 0; i < outstanding; ++i) loop_.push_back(std::make_unique<LoopCall>(this, lanes_[i % lanes_.size()]));
  for (const auto& call : loop_) call->Begin();
}

uint64_t SendLoad::SendOne(absl::Duration due) {
  // Owns itself until its answer has come.
  auto* const call = new SingleCall(this, lanes_[next_number_ % lanes_.size()]);
  return call->Begin(due);
}

}  // namespace barid::cli
