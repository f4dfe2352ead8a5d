#ifndef BARID_PROXY_PUBLIC_EXCHANGE_H_
#define BARID_PROXY_PUBLIC_EXCHANGE_H_

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "edge/call.h"
#include "google/protobuf/arena.h"
#include "proxy/proxy.h"
#include "proxy/public/conversions.h"
#include "proxy/public/status_map.h"

namespace barid::proxy {

inline constexpr char kMessagingService[] = "/apache.rocketmq.v2.MessagingService/";

const std::string& CodeName(int code);
// Writes a status as this caller can bear it.
void WriteStatus(const absl::Status& status, StatusUse use, const Caller& caller, Proxy* proxy, v2::Status* out);

// A unary call of the public API on its way: request and response on one arena, alive until it is answered. Errors are
// answers: gRPC's OK with the code in the response's status.
template <typename Request, typename Response>
class Exchange {
 public:
  using RequestType = Request;
  using ResponseType = Response;

  // `metrics`, if there are any, outlives it.
  Exchange(Proxy* proxy, std::unique_ptr<edge::UnaryCall> call, MethodMetrics* metrics)
      : proxy_(proxy),
        metrics_(metrics),
        since_(metrics == nullptr ? absl::ZeroDuration() : proxy->clock()->SinceBoot()),
        call_(std::move(call)),
        caller_(CallerOf(call_->head())),
        arena_(block_, sizeof(block_)),
        request_(google::protobuf::Arena::CreateMessage<Request>(&arena_)),
        response_(google::protobuf::Arena::CreateMessage<Response>(&arena_)) {}

  // Parses the request.
  absl::Status Read() { return Parse(call_->request(), request_); }
  // And looks at the caller.
  absl::Status Open() {
    if (absl::Status status = Read(); !status.ok()) return status;
    return CheckCaller(caller_);
  }

  Proxy* proxy() const { return proxy_; }
  const edge::CallHead& head() const { return call_->head(); }
  size_t request_bytes() const { return call_->request().size(); }
  const Caller& caller() const { return caller_; }
  const Request& request() const { return *request_; }
  Response* response() { return response_; }

  void WriteStatus(const absl::Status& status, v2::Status* out, StatusUse use = StatusUse::kOther) const {
    proxy::WriteStatus(status, use, caller_, proxy_, out);
  }

  // Sends the response, with this status on top.
  void Answer(const absl::Status& status, StatusUse use = StatusUse::kOther) {
    WriteStatus(status, response_->mutable_status(), use);
    Send();
  }
  // With a status that came from elsewhere.
  void AnswerAs(const v2::Status& status) {
    *response_->mutable_status() = status;
    Send();
  }
  // The top status is that of all entries if they agree, else MULTIPLE_RESULTS. There is at least one entry.
  void AnswerEntries() {
    v2::Status* const top = response_->mutable_status();
    *top = response_->entries(0).status();
    for (const auto& entry : response_->entries()) {
      if (entry.status().code() == top->code()) continue;
      top->set_code(v2::MULTIPLE_RESULTS);
      top->set_message("the entries have different results, see each");
      break;
    }
    Send();
  }

  // What the client is told if its deadline is near and there is no answer yet.
  void AnswerInTime(const Bytes& response) { call_->AnswerInTime(response); }

  // As of the call.
  void Resume(absl::AnyInvocable<void()> task) { call_->Resume(std::move(task)); }
  // Goes on with `then` on a thread of the transport, so that a shard's thread serialises nothing, and what the call
  // took from the allocator goes back where it came from.
  template <typename Then>
  static void Continue(std::unique_ptr<Exchange> exchange, Then then) {
    edge::UnaryCall* const call = exchange->call_.get();
    call->Resume([exchange = std::move(exchange), then = std::move(then)]() mutable { then(std::move(exchange)); });
  }

 private:
  void Send() {
    if (metrics_ != nullptr)
      metrics_->Answered(response_->status().code(), &CodeName, proxy_->clock()->SinceBoot() - since_);
    call_->Answer(Serialize(*response_));
  }

  Proxy* const proxy_;
  MethodMetrics* const metrics_;
  const absl::Duration since_;  // Boot.
  const std::unique_ptr<edge::UnaryCall> call_;
  const Caller caller_;
  // Enough for all but large messages, so that a call costs one allocation.
  alignas(8) char block_[1536];
  google::protobuf::Arena arena_;
  Request* const request_;
  Response* const response_;
};

template <typename Request, typename Response>
using ExchangePtr = std::unique_ptr<Exchange<Request, Response>>;

// To whom waits until his deadline: what he asked for may be done or not. All clients know these codes.
v2::Status LateStatus(StatusUse use);
template <typename Request, typename Response>
Bytes LateAnswer() {
  Response response;
  *response.mutable_status() =
      LateStatus(std::is_same_v<Request, v2::SendMessageRequest> ? StatusUse::kSend : StatusUse::kOther);
  return Serialize(response);
}

// Serves `name` with `handler`, which gets a parsed request of a known caller. `proxy` outlives what is made of it.
template <typename Request, typename Response>
edge::UnaryHandler HandlerOf(absl::string_view name, Proxy* proxy, void (*handler)(ExchangePtr<Request, Response>)) {
  return [proxy, handler, metrics = proxy->MetricsOf(name),
          late = LateAnswer<Request, Response>()](std::unique_ptr<edge::UnaryCall> call) {
    auto exchange = std::make_unique<Exchange<Request, Response>>(proxy, std::move(call), metrics);
    if (const absl::Status status = exchange->Open(); !status.ok()) return exchange->Answer(status);
    exchange->AnswerInTime(late);
    handler(std::move(exchange));
  };
}
template <typename Request, typename Response>
void AddUnary(edge::MethodTable* table, absl::string_view name, Proxy* proxy,
              void (*handler)(ExchangePtr<Request, Response>)) {
  table->unary[absl::StrCat(kMessagingService, name)] = HandlerOf(name, proxy, handler);
}

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_EXCHANGE_H_
