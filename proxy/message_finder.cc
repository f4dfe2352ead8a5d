#include "proxy/message_finder.h"

#include <cstdint>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace barid::proxy {

absl::Status ShardTour::Begin(absl::string_view token) {
  shards = Router::Shards(*metadata);
  if (token.empty()) return absl::OkStatus();
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(token, absl::MaxSplits('/', 1));
  uint64_t from = 0;
  if (!absl::SimpleAtoi(parts.first, &from))
    return absl::InvalidArgumentError("the continuation is not one of this method's");
  while (!has_ended() && shard().id < ShardId(from)) ++next;
  if (!has_ended() && shard().id == ShardId(from)) resume = std::string(parts.second);
  return absl::OkStatus();
}

std::string ShardTour::Token(absl::string_view said) const { return absl::StrCat(shard().id.value(), "/", said); }

void ShardTour::Advance() {
  ++next;
  resume.clear();
}

namespace {

struct Finding : ShardTour {
  Router* router = nullptr;
  LookupCall lookup;
  std::string only_shard;
  MessagesFound found;
  Callback<absl::StatusOr<MessagesFound>> done;

  void SkipOthers() {
    while (!has_ended() && !only_shard.empty() && shard().name != only_shard) Advance();
  }
  void End(std::string token) {
    found.resume = std::move(token);
    done(std::move(found));
  }
};

void FindNext(std::shared_ptr<Finding> finding);

void OnFound(const std::shared_ptr<Finding>& finding, LookupResult result) {
  if (absl::IsInvalidArgument(result.status)) return finding->done(result.status);
  if (!result.status.ok()) {
    finding->found.silent_brokers.push_back(absl::StrCat(finding->shard().leader, " (", result.status.message(), ")"));
    finding->Advance();
    return FindNext(finding);
  }
  finding->lookup.max_messages -= static_cast<int32_t>(result.messages.size());
  for (FoundMessage& message : result.messages) {
    finding->lookup.max_bytes -= static_cast<int64_t>(message.stored.size());
    finding->found.messages.push_back({&finding->shard(), std::move(message)});
  }
  if (!result.resume.empty()) return finding->End(finding->Token(result.resume));
  finding->Advance();
  finding->SkipOthers();
  if (!finding->has_ended() && (finding->lookup.max_messages <= 0 || finding->lookup.max_bytes <= 0)) {
    return finding->End(finding->Token(""));
  }
  FindNext(finding);
}

void FindNext(std::shared_ptr<Finding> finding) {
  finding->SkipOthers();
  if (finding->has_ended()) return finding->End("");
  const absl::StatusOr<Target> target = finding->router->ById(*finding->metadata, finding->shard().id);
  if (!target.ok()) {
    LookupResult failed;
    failed.status = target.status();
    return OnFound(finding, std::move(failed));
  }
  LookupCall lookup = finding->lookup;
  lookup.shard = finding->shard().id;
  lookup.resume = finding->resume;
  target->broker->Lookup(std::move(lookup), [finding](LookupResult result) { OnFound(finding, std::move(result)); });
}

}  // namespace

void FindMessages(Router* router, std::shared_ptr<const Metadata> metadata, MessageSearch search,
                  Callback<absl::StatusOr<MessagesFound>> done) {
  auto finding = std::make_shared<Finding>();
  finding->router = router;
  finding->metadata = std::move(metadata);
  finding->lookup = std::move(search.lookup);
  finding->only_shard = std::move(search.only_shard);
  if (const absl::Status status = finding->Begin(search.resume); !status.ok()) return done(status);
  finding->done = std::move(done);
  FindNext(std::move(finding));
}

}  // namespace barid::proxy
