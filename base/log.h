#ifndef BARID_BASE_LOG_H_
#define BARID_BASE_LOG_H_

#include <ostream>
#include <sstream>
#include <string>

#include "absl/strings/string_view.h"

// Structured log lines and assertions. `LOG(INFO) << "segment rolled" << KV("shard", id) << KV("base", offset);`:
// an event in lower case, then values. One line per event on stderr, as text or JSON (SetLogFormat).
//
// INFO tells the story of a healthy day in a page; WARNING needs a look this week; ERROR needs one now. Never payloads
// or secrets. Any thread.

namespace barid {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kFatal };
enum class LogFormat { kText, kJson };

void SetMinLogLevel(LogLevel level);
LogLevel MinLogLevel();
void SetLogFormat(LogFormat format);

// A line goes to the sink in place of stderr, without its newline. For tests; nullptr restores stderr.
using LogSink = void (*)(LogLevel level, absl::string_view line);
void SetLogSink(LogSink sink);

namespace log_internal {

struct KeyValue {
  absl::string_view key;
  std::string value;
};

class LogMessage {
 public:
  LogMessage(LogLevel level, const char* file, int line) : level_(level), file_(file), line_(line) {}
  ~LogMessage();

  template <typename T>
  LogMessage& operator<<(const T& value) {
    event_ << value;
    return *this;
  }
  LogMessage& operator<<(const KeyValue& pair);

 private:
  const LogLevel level_;
  const char* const file_;
  const int line_;
  std::ostringstream event_;
  std::ostringstream values_text_;
  std::ostringstream values_json_;
};

class FatalMessage : public LogMessage {
 public:
  FatalMessage(const char* file, int line) : LogMessage(LogLevel::kFatal, file, line) {}
  [[noreturn]] ~FatalMessage();
};

struct Voidify {
  void operator&(const LogMessage&) const {}
};

constexpr LogLevel DEBUG = LogLevel::kDebug;
constexpr LogLevel INFO = LogLevel::kInfo;
constexpr LogLevel WARNING = LogLevel::kWarning;
constexpr LogLevel ERROR = LogLevel::kError;

}  // namespace log_internal

template <typename T>
log_internal::KeyValue KV(absl::string_view key, const T& value) {
  std::ostringstream out;
  out << value;
  return {key, out.str()};
}

}  // namespace barid

#define LOG(level)                                        \
  (::barid::log_internal::level < ::barid::MinLogLevel()) \
      ? (void)0                                           \
      : ::barid::log_internal::Voidify() &                \
            ::barid::log_internal::LogMessage(::barid::log_internal::level, __FILE__, __LINE__)

// Broken invariants crash, with the values: `CHECK(a <= b) << a << " > " << b;`. They stay on in production.
#define CHECK(condition)                              \
  (__builtin_expect(static_cast<bool>(condition), 1)) \
      ? (void)0                                       \
      : ::barid::log_internal::Voidify() &            \
            (::barid::log_internal::FatalMessage(__FILE__, __LINE__) << "check failed: " #condition " ")

#define CHECK_OP(a, op, b) CHECK((a)op(b)) << "(" << (a) << " vs " << (b) << ") "
#define CHECK_EQ(a, b) CHECK_OP(a, ==, b)
#define CHECK_NE(a, b) CHECK_OP(a, !=, b)
#define CHECK_LE(a, b) CHECK_OP(a, <=, b)
#define CHECK_LT(a, b) CHECK_OP(a, <, b)
#define CHECK_GE(a, b) CHECK_OP(a, >=, b)
#define CHECK_GT(a, b) CHECK_OP(a, >, b)
#define CHECK_OK(expr)                                    \
  do {                                                    \
    const auto& barid_check_status = (expr);              \
    CHECK(barid_check_status.ok()) << barid_check_status; \
  } while (false)

// Only where a profile shows that CHECK costs something.
#ifdef NDEBUG
#define DCHECK(condition) \
  while (false) CHECK(condition)
#else
#define DCHECK(condition) CHECK(condition)
#endif

#endif  // BARID_BASE_LOG_H_
