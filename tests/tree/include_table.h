#ifndef BARID_TESTS_TREE_INCLUDE_TABLE_H_
#define BARID_TESTS_TREE_INCLUDE_TABLE_H_

#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/tree/source_tree.h"

namespace barid::tree {

// Who may include whom, as docs/architecture.md says it.
//
// The section has two tables. The first gives words for sets of headers, the second says for a folder (itself, without
// what lies below it) or for some of its files what they may include: words, folders (their headers, again without what
// lies below) or headers by name. A file may include what any row that is about it allows, and headers of its own
// folder.
class IncludeTable {
 public:
  // Reads the section "Who may include whom". kInvalidArgument says what does not follow the form.
  static absl::StatusOr<IncludeTable> Parse(absl::string_view markdown);

  // Whether the file at `path` may include `header`, as written between the quotes or angles.
  bool Allows(absl::string_view path, absl::string_view header) const;

  // One sentence for each include that is not allowed, each folder without a row, each row that is about nothing.
  std::vector<std::string> Violations(const std::vector<SourceFile>& files) const;

 private:
  struct Row {
    std::string who;                 // A folder or a glob of files.
    std::vector<std::string> globs;  // Of headers.
  };
  static bool IsAbout(const Row& row, absl::string_view path) {
    return row.who == FolderOf(path) || MatchesGlob(row.who, path);
  }

  std::vector<Row> rows_;
};

struct Include {
  std::string header;
  int line = 0;
};
std::vector<Include> IncludesOf(absl::string_view source);

// One sentence for each .cc and .proto that no CMakeLists.txt names: it would be tested by nobody. `files` has the
// lists too.
std::vector<std::string> NotBuilt(const std::vector<SourceFile>& files);

}  // namespace barid::tree

#endif  // BARID_TESTS_TREE_INCLUDE_TABLE_H_
