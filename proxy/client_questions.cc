#include "proxy/client_questions.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace barid::proxy {

std::optional<std::string> ClientQuestions::Begin(absl::string_view client, Done done) {
  std::string nonce;
  {
    MutexLock lock(&mu_);
    if (questions_.size() < kMost) {
      nonce = absl::StrCat("question-", next_++);
      questions_[nonce] = {std::string(client), std::move(done)};
    }
  }
  if (nonce.empty()) {
    done(absl::ResourceExhaustedError(absl::StrCat(kMost, " questions to clients wait already")));
    return std::nullopt;
  }
  executor_->PostAfter(kPatience, [this, nonce] { Expire(nonce); });
  return nonce;
}

void ClientQuestions::Answer(absl::string_view client, const std::string& nonce, ClientAnswer answer) {
  Done done;
  {
    MutexLock lock(&mu_);
    const auto found = questions_.find(nonce);
    if (found == questions_.end() || found->second.client != client) return;
    done = std::move(found->second.done);
    questions_.erase(found);
  }
  done(std::move(answer));
}

void ClientQuestions::Expire(const std::string& nonce) {
  Question question;
  {
    MutexLock lock(&mu_);
    const auto found = questions_.find(nonce);
    if (found == questions_.end()) return;
    question = std::move(found->second);
    questions_.erase(found);
  }
  question.done(absl::DeadlineExceededError(
      absl::StrFormat("the client %s did not answer within %s", question.client, absl::FormatDuration(kPatience))));
}

}  // namespace barid::proxy
