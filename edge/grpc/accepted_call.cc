#include "edge/grpc/accepted_call.h"

#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "absl/strings/str_replace.h"
#include "base/log.h"
#include "edge/grpc/message.h"

namespace barid::edge {
namespace {

// Streams that are meant to stay come with deadlines of years; those of more than this are none.
constexpr int64_t kLongestDeadlineSeconds = int64_t{365} * 24 * 3600;

absl::Time ToTime(gpr_timespec deadline) {
  // Infinity has the largest seconds there are; the difference below saturates.
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  if (left.tv_sec > kLongestDeadlineSeconds) return absl::InfiniteFuture();
  return absl::Now() + absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec);
}

grpc_slice Copy(absl::string_view text) { return grpc_slice_from_copied_buffer(text.data(), text.size()); }

std::vector<grpc_metadata> ToGrpc(const Metadata& metadata) {
  std::vector<grpc_metadata> made;
  for (const auto& [key, value] : metadata) {
    grpc_metadata& one = made.emplace_back();
    one.key = Copy(key);
    one.value = Copy(value);
  }
  return made;
}

void Assign(const grpc_slice& slice, std::string* to) {
  to->assign(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice));
}

// One batch that refuses a call; deletes itself.
class Refusal final : public Event {
 public:
  void Start(grpc_call* call, const absl::Status& status) {
    call_ = call;
    grpc_op ops[3] = {};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    SetStatusOp(status, &message_, &ops[1]);
    ops[2].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[2].data.recv_close_on_server.cancelled = &cancelled_;
    const grpc_call_error error = grpc_call_start_batch(call, ops, 3, static_cast<Event*>(this), nullptr);
    CHECK(error == GRPC_CALL_OK) << error;
  }
  void Run(bool ok) override {
    grpc_slice_unref(message_);
    grpc_call_unref(call_);
    delete this;
  }

 private:
  grpc_call* call_ = nullptr;
  grpc_slice message_;
  int cancelled_ = 0;
};

}  // namespace

void FillHead(const AcceptedCall& accepted, CallHead* head) {
  head->metadata.resize(accepted.metadata.count);
  for (size_t i = 0; i < accepted.metadata.count; ++i) {
    Assign(accepted.metadata.metadata[i].key, &head->metadata[i].first);
    Assign(accepted.metadata.metadata[i].value, &head->metadata[i].second);
  }
  head->deadline = ToTime(accepted.deadline);
  char* peer = grpc_call_get_peer(accepted.call);
  head->peer.assign(peer);
  gpr_free(peer);
  // grpc-core writes IPv6 addresses as a URI would: "ipv6:%5B::1%5D:4711".
  if (head->peer.find('%') != std::string::npos)
    absl::StrReplaceAll({{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}}, &head->peer);
}

void SetStatusOp(const absl::Status& status, grpc_slice* message, grpc_op* op) {
  *message = Copy(status.message());
  op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
  op->data.send_status_from_server.status = static_cast<grpc_status_code>(status.code());
  op->data.send_status_from_server.status_details = status.message().empty() ? nullptr : message;
}

SentMetadata::~SentMetadata() {
  for (const std::vector<grpc_metadata>* part : {&initial_, &trailing_}) {
    for (const grpc_metadata& one : *part) {
      grpc_slice_unref(one.key);
      grpc_slice_unref(one.value);
    }
  }
}

bool SentMetadata::AddInitial(absl::string_view key, absl::string_view value) {
  return AddMetadata(key, std::string(value), &metadata_.initial);
}

bool SentMetadata::AddTrailing(absl::string_view key, absl::string_view value) {
  return AddMetadata(key, std::string(value), &metadata_.trailing);
}

void SentMetadata::SetInitial(grpc_op* op) {
  initial_ = ToGrpc(metadata_.initial);
  op->data.send_initial_metadata.count = initial_.size();
  op->data.send_initial_metadata.metadata = initial_.data();
}

void SentMetadata::SetTrailing(grpc_op* op) {
  trailing_ = ToGrpc(metadata_.trailing);
  op->data.send_status_from_server.trailing_metadata_count = trailing_.size();
  op->data.send_status_from_server.trailing_metadata = trailing_.data();
}

void Refuse(grpc_call* call, const absl::Status& status) { (new Refusal())->Start(call, status); }

}  // namespace barid::edge
