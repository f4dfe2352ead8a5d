#ifndef BARID_TESTS_EDGE_H2_FRAME_CLIENT_H_
#define BARID_TESTS_EDGE_H2_FRAME_CLIENT_H_

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tests/edge/h2/frames.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload = {};
};

// What came on one stream.
struct Answer {
  Headers headers = {};  // With the trailers.
  std::string body = {};
  bool has_ended = false;              // END_STREAM.
  std::optional<uint32_t> reset = {};  // By the server, with this code.

  bool is_over() const { return has_ended || reset.has_value(); }
  // "" if it did not come.
  std::string Header(const std::string& name) const;
};

// A client that says exactly what the test wants, and writes down what the server says. Blocks, with deadlines; one
// thread.
class FrameClient {
 public:
  explicit FrameClient(const std::string& address);
  // Takes both; `tls` has shaken hands, or is null.
  FrameClient(int fd, SSL* tls);
  ~FrameClient();
  FrameClient(const FrameClient&) = delete;
  FrameClient& operator=(const FrameClient&) = delete;

  // Until the kernel has all of it. False: the server has closed, or takes nothing for kPatience.
  bool Write(absl::string_view bytes);
  // What the kernel takes at once.
  size_t WriteNow(absl::string_view bytes);
  // No more bytes come (FIN).
  void HalfClose();

  // Preface and settings, and waits for the server's.
  void Begin(absl::string_view settings = "");

  // One frame more. False: the server has closed, or nothing comes in `timeout`.
  bool ReadFrame(absl::Duration timeout = kPatience);
  // Reads until `is_there`. False: it does not come.
  bool ReadUntil(const std::function<bool()>& is_there);
  // Until the server has handled and answered all that was written, or has closed: two pings, since an acknowledgement
  // may overtake what was caused before it.
  void Settle();
  // Until the server has closed; false if it does not.
  bool ReadToEnd();
  // Of a stream, once it is over.
  const Answer& Await(uint32_t stream);
  // A whole call of an echo on a new stream. The text that came back, or what came instead.
  std::string Echo(const std::string& path, absl::string_view text);

  const Answer& answer(uint32_t stream) { return answers_[stream]; }
  const std::map<uint32_t, Answer>& answers() const { return answers_; }
  std::optional<uint32_t> goaway() const { return goaway_; }
  uint32_t last_stream() const { return last_stream_; }  // Of the GOAWAY.
  bool is_closed() const { return is_closed_; }
  int acks() const { return acks_; }  // Of pings.
  int setting_acks() const { return setting_acks_; }
  uint32_t setting(uint16_t id) const;  // The server's; 0 if it did not say.
  const std::vector<Frame>& frames() const { return frames_; }
  const std::string& rest() const { return in_; }  // Bytes that are no whole frame.
  int fd() const { return fd_; }

  void set_acks_settings(bool acks) { acks_settings_ = acks; }
  // If not, pings behind a GOAWAY wait for AnswerPings.
  void set_answers_drain(bool answers) { answers_drain_ = answers; }
  void AnswerPings();
  // Gives back what it reads, so that the server never stops for a window.
  void set_opens_windows(bool opens) { opens_windows_ = opens; }
  // For floods: frames are counted and forgotten.
  void set_keeps_frames(bool keeps) { keeps_frames_ = keeps; }
  uint64_t frame_count() const { return frame_count_; }

 private:
  bool Fill(absl::Time end);  // At least one byte more.
  void Note(Frame frame);
  void NoteHeaders(const Frame& frame, absl::string_view block);

  const int fd_;  // -1: there was no connection to be had.
  SSL* const tls_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string in_;
  bool is_closed_;

  bool acks_settings_ = true;
  bool answers_drain_ = true;
  std::vector<std::string> pings_;  // That wait.
  bool opens_windows_ = true;
  bool keeps_frames_ = true;
  uint64_t frame_count_ = 0;
  std::vector<Frame> frames_;
  std::map<uint32_t, Answer> answers_;
  std::map<uint16_t, uint32_t> settings_;
  std::optional<uint32_t> goaway_;
  uint32_t last_stream_ = 0;
  int acks_ = 0;
  std::string last_ack_;  // What it carried.
  uint64_t settles_ = 0;
  int setting_acks_ = 0;
  bool has_settings_ = false;
  Frame block_;  // HEADERS whose CONTINUATION has not come.
  uint32_t next_stream_ = 100001;
};

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_EDGE_H2_FRAME_CLIENT_H_
