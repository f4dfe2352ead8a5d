#include "tests/tree/source_tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace barid::tree {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good()) << path.string() << " cannot be read";
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// Walks through the source once: code, comments, characters and strings.
class Scanner {
 public:
  Scanner(absl::string_view text, Strings strings) : in_(text), out_(text), strings_(strings) {}

  std::string Run() {
    while (at_ < in_.size()) {
      if (Starts("//")) {
        BlankUntil(EndOfLine());
      } else if (Starts("/*")) {
        BlankUntil(After("*/", at_ + 2));
      } else if (Starts("R\"") && !IsWordBefore()) {
        RawString();
      } else if (in_[at_] == '"' || (in_[at_] == '\'' && !IsWordBefore())) {  // 1'000 is a number.
        Quoted(in_[at_]);
      } else {
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  bool Starts(absl::string_view what) const { return absl::StartsWith(in_.substr(at_), what); }
  bool IsWordBefore() const {
    return at_ > 0 && (absl::ascii_isalnum(static_cast<unsigned char>(in_[at_ - 1])) || in_[at_ - 1] == '_');
  }
  size_t EndOfLine() const { return std::min(in_.find('\n', at_), in_.size()); }
  size_t After(absl::string_view what, size_t from) const {
    const size_t found = in_.find(what, from);
    return found == in_.npos ? in_.size() : found + what.size();
  }

  void BlankUntil(size_t end) {
    for (; at_ < end; ++at_) {
      if (out_[at_] != '\n') out_[at_] = ' ';
    }
  }
  // What is inside a string, up to its closing quote at `end`.
  void Inside(size_t end) {
    if (strings_ == Strings::kBlank) {
      BlankUntil(end);
    } else {
      at_ = end;
    }
  }
  void Quoted(char quote) {
    size_t end = ++at_;
    while (end < in_.size() && in_[end] != quote && in_[end] != '\n') end += in_[end] == '\\' ? 2 : 1;
    Inside(std::min(end, in_.size()));
    ++at_;
  }
  void RawString() {
    const size_t open = in_.find('(', at_);
    if (open == in_.npos) return BlankUntil(in_.size());
    const std::string close = absl::StrCat(")", in_.substr(at_ + 2, open - at_ - 2), "\"");
    at_ = open + 1;
    Inside(std::min(in_.find(close, at_), in_.size()));
    at_ = std::min(at_ + close.size(), in_.size());
  }

  const absl::string_view in_;
  std::string out_;
  const Strings strings_;
  size_t at_ = 0;
};

}  // namespace

std::vector<SourceFile> ReadTree(const std::string& root, const std::vector<std::string>& endings) {
  std::vector<SourceFile> files;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory()) {
      if (name[0] == '.' || (it.depth() == 0 && name == "build")) it.disable_recursion_pending();
      continue;
    }
    if (std::any_of(endings.begin(), endings.end(),
                    [&name](const std::string& e) { return absl::EndsWith(name, e); })) {
      files.push_back({it->path().lexically_relative(root).string(), ReadFile(it->path())});
    }
  }
  CHECK(!files.empty()) << "nothing to read in " << root;
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

std::vector<SourceFile> ReadProduct(const std::string& root) {
  std::vector<SourceFile> files = ReadTree(root, {".h", ".cc"});
  files.erase(std::remove_if(files.begin(), files.end(),
                             [](const SourceFile& f) {
                               return absl::StartsWith(f.path, "tests/") || absl::StartsWith(f.path, "api/");
                             }),
              files.end());
  CHECK(!files.empty()) << "no product in " << root;
  return files;
}

absl::string_view FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? absl::string_view() : path.substr(0, slash);
}

// Exponential in the stars of a glob; ours have two at most.
bool MatchesGlob(absl::string_view glob, absl::string_view text) {
  if (glob.empty()) return text.empty();
  if (glob[0] != '*') {
    return !text.empty() && glob[0] == text[0] && MatchesGlob(glob.substr(1), text.substr(1));
  }
  const bool any = absl::StartsWith(glob, "**");
  const absl::string_view rest = glob.substr(any ? 2 : 1);
  for (size_t i = 0;; ++i) {
    if (MatchesGlob(rest, text.substr(i))) return true;
    if (i == text.size() || (!any && (text[i] == '/' || text[i] == '.'))) return false;
  }
}

std::string WithoutComments(absl::string_view text, Strings strings) { return Scanner(text, strings).Run(); }

int LineAt(absl::string_view text, size_t position) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(position), '\n'));
}

}  // namespace barid::tree
