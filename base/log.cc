#include "base/log.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace barid {
namespace {

std::atomic<LogLevel> min_level{LogLevel::kInfo};
std::atomic<LogFormat> format{LogFormat::kText};
std::atomic<LogSink> sink{nullptr};

const char* Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kWarning:
      return "WARNING";
    case LogLevel::kError:
      return "ERROR";
    case LogLevel::kFatal:
      return "FATAL";
  }
  return "?";
}

std::string JsonString(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

bool NeedsQuotes(absl::string_view text) {
  return text.empty() || text.find_first_of(" \"=\n\t") != absl::string_view::npos;
}

absl::Time WallClock() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return absl::TimeFromTimespec(now);
}

}  // namespace

void SetMinLogLevel(LogLevel level) { min_level = level; }
LogLevel MinLogLevel() { return min_level; }
void SetLogFormat(LogFormat new_format) { format = new_format; }
void SetLogSink(LogSink new_sink) { sink = new_sink; }

namespace log_internal {

LogMessage& LogMessage::operator<<(const KeyValue& pair) {
  values_text_ << ' ' << pair.key << '='
               << (NeedsQuotes(pair.value) ? "\"" + absl::CEscape(pair.value) + "\"" : pair.value);
  values_json_ << ',' << JsonString(pair.key) << ':' << JsonString(pair.value);
  return *this;
}

LogMessage::~LogMessage() {
  const char* slash = file_;
  for (const char* p = file_; *p != '\0'; ++p) {
    if (*p == '/') slash = p + 1;
  }
  const std::string time = TimeText(WallClock());
  std::string line;
  if (format.load() == LogFormat::kJson) {
    line = absl::StrFormat("{\"time\":\"%s\",\"level\":\"%s\",\"source\":\"%s:%d\",\"event\":%s%s}", time, Name(level_),
                           slash, line_, JsonString(event_.str()), values_json_.str());
  } else {
    line = absl::StrFormat("%s %-7s %s%s (%s:%d)", time, Name(level_), event_.str(), values_text_.str(), slash, line_);
  }
  if (LogSink s = sink.load(); s != nullptr) {
    s(level_, line);
    return;
  }
  line += '\n';
  // One write per line, so that lines of several threads and processes do not mix.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

// Runs before the base's destructor, so the line is written there and the process ends after it: hence the flush here.
FatalMessage::~FatalMessage() {
  static_cast<LogMessage*>(this)->~LogMessage();
  std::abort();
}

}  // namespace log_internal
}  // namespace barid
