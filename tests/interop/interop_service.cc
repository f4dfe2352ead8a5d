#include "tests/interop/interop_service.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace barid::edge {
namespace {

// What answers and the rest of requests are made of. A prime number of bytes, so that a piece lost or swapped shows.
std::string Pattern(size_t size) {
  constexpr size_t kPeriod = 251;
  std::string pattern(size, '\0');
  for (size_t i = 0; i < size; ++i) pattern[i] = static_cast<char>(i % kPeriod);
  return pattern;
}

// "sizes\npattern": the sizes that are asked for.
absl::StatusOr<std::vector<size_t>> SizesIn(const Bytes& request) {
  const std::string text = request.ToString();
  const size_t line = text.find('\n');
  if (line == text.npos) return absl::InvalidArgumentError("the request has no line of sizes");
  if (text.substr(line + 1) != Pattern(text.size() - line - 1)) {
    return absl::InvalidArgumentError("the request did not arrive as it was sent");
  }
  std::vector<size_t> sizes;
  for (const absl::string_view word : absl::StrSplit(absl::string_view(text).substr(0, line), ',')) {
    size_t size = 0;
    if (!absl::SimpleAtoi(word, &size)) return absl::InvalidArgumentError(absl::StrCat("\"", word, "\" is no size"));
    sizes.push_back(size);
  }
  return sizes;
}

// "code\nmessage".
absl::Status StatusIn(const Bytes& request) {
  const std::string text = request.ToString();
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('\n', 1));
  int code = 0;
  if (!absl::SimpleAtoi(parts.first, &code) || code == 0) return absl::InvalidArgumentError("the request has no code");
  return absl::Status(static_cast<absl::StatusCode>(code), parts.second);
}

// Tells the peer what it asks to be told, as gRPC's own interoperability server does. A value that cannot be sent is
// missed by the client.
template <typename Call>
void EchoMetadata(Call* call) {
  for (const auto& [key, value] : call->head().metadata) {
    if (key == "x-grpc-test-echo-initial") call->AddInitial(key, value);
    if (key == "x-grpc-test-echo-trailing-bin") call->AddTrailing(key, value);
  }
}

// How the streams ended that were begun with a name, and who asks for it. Any thread.
class Endings {
 public:
  void Tell(const std::string& name, bool delivered) {
    const absl::string_view how = delivered ? "delivered" : "lost";
    std::unique_ptr<UnaryCall> asks;
    {
      MutexLock lock(&mu_);
      Ending& ending = endings_[name];
      ending.how = std::string(how);
      asks = std::move(ending.asks);
    }
    if (asks != nullptr) asks->Answer(Bytes(std::string(how)));
  }

  // Answered once the stream has ended, maybe at once.
  void Ask(std::unique_ptr<UnaryCall> call) {
    std::string how;
    {
      MutexLock lock(&mu_);
      Ending& ending = endings_[call->request().ToString()];
      if (!ending.how) {
        ending.asks = std::move(call);
        return;
      }
      how = *ending.how;
    }
    call->Answer(Bytes(how));
  }

 private:
  struct Ending {
    std::optional<std::string> how;
    std::unique_ptr<UnaryCall> asks;
  };
  Mutex mu_;
  std::map<std::string, Ending> endings_ ABSL_GUARDED_BY(mu_);
};

// A stream whose messages and end wait here until the peer takes them. It tells `endings` how it ended if it has a
// name.
class InteropStream : public StreamHandler {
 public:
  InteropStream(std::shared_ptr<Stream> stream, std::shared_ptr<Endings> endings)
      : stream_(std::move(stream)), endings_(std::move(endings)) {
    if (const std::string* name = stream_->head().Find("interop-call")) name_ = *name;
    EchoMetadata(stream_.get());
  }

  void OnHalfClose() override { End(absl::OkStatus()); }
  void OnWritable() override {
    writable_ = true;
    Pump();
  }
  void OnDone(bool delivered) override {
    if (!name_.empty()) endings_->Tell(name_, delivered);
  }

 protected:
  void Send(std::string message) {
    waiting_.push_back(std::move(message));
    Pump();
  }
  void SendWhatIsAskedIn(const Bytes& request) {
    const absl::StatusOr<std::vector<size_t>> sizes = SizesIn(request);
    if (!sizes.ok()) return End(sizes.status());
    for (const size_t size : *sizes) Send(Pattern(size));
  }
  // Once what waits has been sent. The first status counts.
  void End(absl::Status status) {
    if (end_) return;
    end_ = std::move(status);
    Pump();
  }

 private:
  void Pump() {
    if (writable_ && !waiting_.empty()) {
      writable_ = false;
      stream_->Write(Bytes(std::move(waiting_.front())));
      waiting_.pop_front();
    }
    if (!end_ || !waiting_.empty() || finished_) return;
    finished_ = true;
    stream_->Finish(*end_);
  }

  const std::shared_ptr<Stream> stream_;
  const std::shared_ptr<Endings> endings_;
  std::string name_;
  std::deque<std::string> waiting_;
  std::optional<absl::Status> end_;
  bool writable_ = false;
  bool finished_ = false;
};

class Sum : public InteropStream {
 public:
  using InteropStream::InteropStream;
  void OnMessage(Bytes message) override { bytes_ += message.size(); }
  void OnHalfClose() override {
    Send(absl::StrCat(bytes_));
    End(absl::OkStatus());
  }

 private:
  size_t bytes_ = 0;
};

class PingPong : public InteropStream {
 public:
  using InteropStream::InteropStream;
  void OnMessage(Bytes message) override { SendWhatIsAskedIn(message); }
};

// The same without an end: some clients half-close when they cancel.
class Sleep : public PingPong {
 public:
  using PingPong::PingPong;
  void OnHalfClose() override {}
};

// One request, any number of answers.
class Answers : public InteropStream {
 public:
  using InteropStream::InteropStream;
  void OnMessage(Bytes message) override {
    if (++messages_ > 1) return End(absl::InvalidArgumentError("more than one request"));
    SendWhatIsAskedIn(message);
  }

 private:
  int messages_ = 0;
};

class FailStream : public InteropStream {
 public:
  using InteropStream::InteropStream;
  void OnMessage(Bytes message) override { End(StatusIn(message)); }
};

void AnswerEmpty(std::unique_ptr<UnaryCall> call) {
  if (!call->request().empty()) return call->Fail(absl::InvalidArgumentError("the request is not empty"));
  call->Answer(Bytes());
}

void AnswerSize(std::unique_ptr<UnaryCall> call) {
  const absl::StatusOr<std::vector<size_t>> sizes = SizesIn(call->request());
  if (!sizes.ok()) return call->Fail(sizes.status());
  call->Answer(Bytes(Pattern(sizes->front())));
}

void AnswerMetadata(std::unique_ptr<UnaryCall> call) {
  std::vector<std::pair<std::string, std::string>> ours;
  for (const auto& pair : call->head().metadata) {
    if (absl::StartsWith(pair.first, "interop-")) ours.push_back(pair);
  }
  // Clients may send keys in any order, the values of one key in theirs.
  std::stable_sort(ours.begin(), ours.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto format = [](std::string* out, const auto& pair) {
    absl::StrAppend(out, pair.first, "=", absl::BytesToHexString(pair.second));
  };
  call->Answer(Bytes(absl::StrJoin(ours, "\n", format)));
}

void AnswerDeadline(std::unique_ptr<UnaryCall> call) {
  const absl::Time deadline = call->head().deadline;
  const bool has_one = deadline != absl::InfiniteFuture();
  call->Answer(Bytes(has_one ? absl::StrCat(absl::ToInt64Milliseconds(deadline - absl::Now())) : "none"));
}

}  // namespace

MethodTable InteropService() {
  MethodTable table;
  const std::string service = "/barid.interop.Interop/";
  const auto endings = std::make_shared<Endings>();
  table.unary[service + "Empty"] = AnswerEmpty;
  table.unary[service + "Answer"] = AnswerSize;
  table.unary[service + "Metadata"] = AnswerMetadata;
  table.unary[service + "Deadline"] = AnswerDeadline;
  table.unary[service + "Fail"] = [](std::unique_ptr<UnaryCall> call) { call->Fail(StatusIn(call->request())); };
  table.unary[service + "Ending"] = [endings](std::unique_ptr<UnaryCall> call) { endings->Ask(std::move(call)); };
  for (auto& [method, handler] : table.unary) {
    handler = [answer = std::move(handler)](std::unique_ptr<UnaryCall> call) {
      EchoMetadata(call.get());
      answer(std::move(call));
    };
  }

  const auto add = [&]<typename Handler>(const char* method, std::type_identity<Handler>) {
    table.streams[service + method] = [endings](std::shared_ptr<Stream> stream) {
      return std::make_shared<Handler>(std::move(stream), endings);
    };
  };
  add("Sum", std::type_identity<Sum>());
  add("Answers", std::type_identity<Answers>());
  add("PingPong", std::type_identity<PingPong>());
  add("FailStream", std::type_identity<FailStream>());
  add("Sleep", std::type_identity<Sleep>());
  return table;
}

}  // namespace barid::edge
