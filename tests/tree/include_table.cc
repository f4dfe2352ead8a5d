#include "tests/tree/include_table.h"

#include <algorithm>

#include "absl/container/btree_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace barid::tree {
namespace {

constexpr char kSection[] = "## Who may include whom\n";

absl::Status BadTable(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the include table: ", what));
}

absl::string_view Section(absl::string_view markdown) {
  const size_t start = markdown.find(kSection);
  if (start == markdown.npos) return absl::string_view();
  const absl::string_view rest = markdown.substr(start + sizeof(kSection) - 1);
  return rest.substr(0, rest.find("\n## "));
}

// The items of a cell: `a`, b, c -> a, b, c.
std::vector<std::string> Items(absl::string_view cell) {
  std::vector<std::string> items;
  for (absl::string_view item : absl::StrSplit(cell, ',')) {
    item = absl::StripAsciiWhitespace(item);
    absl::ConsumePrefix(&item, "`");
    absl::ConsumeSuffix(&item, "`");
    if (!item.empty()) items.emplace_back(item);
  }
  return items;
}

// The two cells of each row of each table.
using Rows = std::vector<std::pair<std::string, std::string>>;
std::vector<Rows> Tables(absl::string_view section) {
  std::vector<Rows> tables;
  bool in_table = false;
  for (absl::string_view line : absl::StrSplit(section, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!absl::StartsWith(line, "|")) {
      in_table = false;
      continue;
    }
    if (!in_table) tables.emplace_back();
    in_table = true;
    const std::vector<absl::string_view> cells =
        absl::StrSplit(absl::StripSuffix(absl::StripPrefix(line, "|"), "|"), '|');
    const bool is_rule = cells[0].find_first_not_of("- ") == cells[0].npos;
    if (cells.size() == 2 && !is_rule) tables.back().emplace_back(cells[0], cells[1]);
  }
  for (Rows& rows : tables) {
    if (!rows.empty()) rows.erase(rows.begin());  // The headings.
  }
  return tables;
}

}  // namespace

absl::StatusOr<IncludeTable> IncludeTable::Parse(absl::string_view markdown) {
  const std::vector<Rows> tables = Tables(Section(markdown));
  if (tables.size() != 2) return BadTable(absl::StrCat("the section has ", tables.size(), " tables, expected two"));

  absl::btree_map<std::string, std::vector<std::string>> words;
  for (const auto& [word, headers] : tables[0]) words[std::string(absl::StripAsciiWhitespace(word))] = Items(headers);
  for (const auto& [who, unused] : tables[1]) {
    for (const std::string& folder : Items(who)) {
      if (!absl::StrContains(folder, '.')) words[folder] = {absl::StrCat(folder, "/*.h")};
    }
  }

  IncludeTable table;
  for (const auto& [who, allowed] : tables[1]) {
    std::vector<std::string> globs;
    for (const std::string& item : Items(allowed)) {
      const auto word = words.find(item);
      if (word != words.end()) {
        globs.insert(globs.end(), word->second.begin(), word->second.end());
      } else if (absl::StrContains(item, '*') || absl::EndsWith(item, ".h")) {
        globs.push_back(item);
      } else {
        return BadTable(absl::StrCat(
            "\"", item, "\" is neither a word of the first table nor a folder of the second nor a header"));
      }
    }
    for (const std::string& each : Items(who)) table.rows_.push_back({each, globs});
  }
  if (table.rows_.empty()) return BadTable("the second table has no rows");
  return table;
}

bool IncludeTable::Allows(absl::string_view path, absl::string_view header) const {
  if (FolderOf(header) == FolderOf(path) && absl::EndsWith(header, ".h")) return true;
  for (const Row& row : rows_) {
    if (!IsAbout(row, path)) continue;
    for (const std::string& glob : row.globs) {
      if (MatchesGlob(glob, header)) return true;
    }
  }
  return false;
}

std::vector<std::string> IncludeTable::Violations(const std::vector<SourceFile>& files) const {
  std::vector<std::string> violations;
  absl::btree_set<std::string> strange_folders;
  for (const SourceFile& file : files) {
    const bool has_row =
        std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) { return row.who == FolderOf(file.path); });
    if (!has_row) {
      strange_folders.emplace(FolderOf(file.path));
      continue;
    }
    for (const Include& include : IncludesOf(file.text)) {
      if (!Allows(file.path, include.header)) {
        violations.push_back(absl::StrCat(file.path, ":", include.line, " includes ", include.header));
      }
    }
  }
  for (const std::string& folder : strange_folders)
    violations.push_back(absl::StrCat("the folder ", folder, " has no row"));
  for (const Row& row : rows_) {
    if (std::none_of(files.begin(), files.end(), [&](const SourceFile& file) { return IsAbout(row, file.path); })) {
      violations.push_back(absl::StrCat("the row of ", row.who, " is about no file"));
    }
  }
  return violations;
}

std::vector<Include> IncludesOf(absl::string_view source) {
  const std::string code = WithoutComments(source, Strings::kKeep);
  std::vector<Include> includes;
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(code, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, "#")) continue;
    line = absl::StripLeadingAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, "include")) continue;
    line = absl::StripAsciiWhitespace(line);
    if (line.size() >= 2) line = line.substr(1, line.size() - 2);
    includes.push_back({std::string(line), line_number});
  }
  return includes;
}

std::vector<std::string> NotBuilt(const std::vector<SourceFile>& files) {
  // What the lists name, as paths from the root. A proto is named from api/, wherever the list stands.
  absl::btree_set<std::string> named;
  for (const SourceFile& list : files) {
    if (!absl::EndsWith(list.path, "CMakeLists.txt")) continue;
    const absl::string_view folder = FolderOf(list.path);
    for (absl::string_view line : absl::StrSplit(list.text, '\n')) {
      line = line.substr(0, line.find('#'));
      for (absl::string_view word : absl::StrSplit(line, absl::ByAnyChar(" \t()\""), absl::SkipEmpty())) {
        if (absl::StartsWith(word, "${") && absl::StrContains(word, "}/")) word = word.substr(word.find("}/") + 2);
        named.insert(absl::EndsWith(word, ".proto") ? absl::StrCat("api/", word)
                     : folder.empty()               ? std::string(word)
                                                    : absl::StrCat(folder, "/", word));
      }
    }
  }
  std::vector<std::string> missing;
  for (const SourceFile& file : files) {
    const bool is_built = absl::EndsWith(file.path, ".cc") || absl::EndsWith(file.path, ".proto");
    if (is_built && !named.contains(file.path)) missing.push_back(absl::StrCat("no CMakeLists.txt names ", file.path));
  }
  return missing;
}

}  // namespace barid::tree
