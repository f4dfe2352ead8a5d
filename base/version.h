#ifndef BARID_BASE_VERSION_H_
#define BARID_BASE_VERSION_H_

namespace barid {

// Of this build: the project's in CMakeLists.txt.
inline constexpr char kVersion[] = BARID_VERSION;

}  // namespace barid

#endif  // BARID_BASE_VERSION_H_
