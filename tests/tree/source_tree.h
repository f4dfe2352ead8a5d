#ifndef BARID_TESTS_TREE_SOURCE_TREE_H_
#define BARID_TESTS_TREE_SOURCE_TREE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// The repository's files, as the tests of its rules see them.
namespace barid::tree {

struct SourceFile {
  std::string path;  // From the repository's root, "base/log.h".
  std::string text;
};

// All files below `root` that end like one of `endings`, sorted by path; without what is hidden or built. CHECK-fails
// if there are none: a test that reads nothing proves nothing.
std::vector<SourceFile> ReadTree(const std::string& root, const std::vector<std::string>& endings);
// Those that make up the product: C++ outside api/ and tests/.
std::vector<SourceFile> ReadProduct(const std::string& root);

// "base/simulated" of "base/simulated/disk.h"; "" of a file at the root.
absl::string_view FolderOf(absl::string_view path);

// Whether `text` matches: `*` stands for characters other than "/" and ".", `**` for any characters.
bool MatchesGlob(absl::string_view glob, absl::string_view text);

// The C++ in `text` with its comments blanked; positions and lines stay. Strings are kept or blanked (their quotes
// stay).
enum class Strings { kKeep, kBlank };
std::string WithoutComments(absl::string_view text, Strings strings);

// Counted from 1.
int LineAt(absl::string_view text, size_t position);

}  // namespace barid::tree

#endif  // BARID_TESTS_TREE_SOURCE_TREE_H_
