# How Barid's targets are declared: dependencies, warnings, sanitizers, and four functions that keep the folders' lists short.
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(GTest REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(leveldb REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
if(BARID_GRPC)
  find_package(gRPC REQUIRED)
  find_program(BARID_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
endif()

find_program(BARID_CCACHE ccache)
if(BARID_CCACHE)
  # Precompiled headers and ccache get along only when time stamps and macro definitions are taken on trust.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${BARID_CCACHE})
endif()

add_library(barid_flags INTERFACE)
target_include_directories(barid_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(barid_flags INTERFACE BARID_VERSION="${PROJECT_VERSION}")
# -pthread by all, because some dependencies bring it, and who shares a precompiled header must share its macros.
target_compile_options(barid_flags INTERFACE -Wall -Wextra -Werror -Wno-unused-parameter -fno-omit-frame-pointer -pthread)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(barid_flags INTERFACE -Wthread-safety -fpch-instantiate-templates)
else()
  # GCC 12 reports these inside the standard library and Abseil, on correct code.
  target_compile_options(barid_flags INTERFACE -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-restrict
                                               -Wno-array-bounds -Wno-stringop-overread -Wno-dangling-pointer)
endif()
# Most of what a build costs is the tests' own code. Hardly optimised, and under AddressSanitizer alone, it takes half the time;
# what it runs is all that it should be, but for what headers define, of which the linker may take the test's. UndefinedBehaviorSanitizer leaves out what AddressSanitizer or the processor finds, too.
set(BARID_CODE_OPTIONS)
set(BARID_TEST_OPTIONS -O1)
if(BARID_SANITIZE)
  string(REGEX REPLACE ",(undefined|fuzzer-no-link)" "" sanitize_tests ${BARID_SANITIZE})
  set(BARID_CODE_OPTIONS
      -fsanitize=${BARID_SANITIZE}
      -fno-sanitize=null,alignment,vptr,object-size,nonnull-attribute,returns-nonnull-attribute
      -fno-sanitize-recover=all)
  set(BARID_TEST_OPTIONS -O0 -fsanitize=${sanitize_tests})
  target_link_options(barid_flags INTERFACE -fsanitize=${BARID_SANITIZE})
endif()
define_property(TARGET PROPERTY BARID_TEST BRIEF_DOCS "Compiled with BARID_TEST_OPTIONS")
string(REPLACE "," "$<COMMA>" BARID_CODE_OPTIONS "${BARID_CODE_OPTIONS}")
string(REPLACE "," "$<COMMA>" BARID_TEST_OPTIONS "${BARID_TEST_OPTIONS}")
target_compile_options(barid_flags INTERFACE
  "$<IF:$<BOOL:$<TARGET_PROPERTY:BARID_TEST>>,${BARID_TEST_OPTIONS},${BARID_CODE_OPTIONS}>")

# Two precompiled headers for the whole tree: what most files include, and the same with GoogleTest. One for each target would
# cost more than all that it saves.
set(BARID_PCH <algorithm> <deque> <functional> <map> <memory> <optional> <set> <string> <utility> <variant> <vector>
              <absl/container/btree_map.h> <absl/container/flat_hash_map.h> <absl/container/flat_hash_set.h>
              <absl/functional/any_invocable.h> <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/time/time.h>
              <absl/types/span.h> <google/protobuf/message.h> <google/protobuf/repeated_ptr_field.h>)
# A target that owns a precompiled header needs a source, be it empty.
set(BARID_PCH_SOURCE ${CMAKE_BINARY_DIR}/precompiled_headers.cc)
file(CONFIGURE OUTPUT ${BARID_PCH_SOURCE} CONTENT "")
add_library(barid_pch OBJECT ${BARID_PCH_SOURCE})
target_link_libraries(barid_pch PRIVATE barid_flags)
target_precompile_headers(barid_pch PRIVATE ${BARID_PCH})
if(BARID_TESTS)
  add_library(barid_test_pch OBJECT ${BARID_PCH_SOURCE})
  set_target_properties(barid_test_pch PROPERTIES BARID_TEST ON)
  target_link_libraries(barid_test_pch PRIVATE barid_flags GTest::gmock)
  target_precompile_headers(barid_test_pch PRIVATE ${BARID_PCH} <gmock/gmock.h> <gtest/gtest.h>)
endif()

# barid_library(NAME SRCS a.cc ... DEPS x ... [PCH header ...]): a static library called barid_NAME. PCH is for those that
# include something dear besides (gRPC).
function(barid_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;PCH" ${ARGN})
  add_library(barid_${name} STATIC ${ARG_SRCS})
  target_link_libraries(barid_${name} PUBLIC barid_flags ${ARG_DEPS})
  if(ARG_PCH)
    target_precompile_headers(barid_${name} PRIVATE ${BARID_PCH} ${ARG_PCH})
  else()
    target_precompile_headers(barid_${name} REUSE_FROM barid_pch)
  endif()
endfunction()

# How many of ctest's places a test takes: scripts/test has three for each core. So either two tests run that compute, or three
# that mostly wait for other processes, or one and one.
set(BARID_COMPUTES 3)
set(BARID_WAITS 2)

# barid_test(NAME SRCS a_test.cc ... DEPS x ... [LABELS l ...] [TIMEOUT s]): a GoogleTest program, one ctest entry. Labels:
#   unit     needs no gRPC and measures nothing, so the sanitizers' builds test as much by it as any other
#   threads  has more than one: worth ThreadSanitizer's while
#   slow     not for the sanitizers
function(barid_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if("unit" IN_LIST ARG_LABELS AND NOT BARID_UNIT_TESTS)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} barid_flags GTest::gmock GTest::gtest_main)
  if(BARID_SANITIZE MATCHES thread)
    target_link_libraries(${name} PRIVATE barid_tsan_suppressions)
  endif()
  target_precompile_headers(${name} REUSE_FROM barid_test_pch)
  target_compile_definitions(${name} PRIVATE BARID_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES BARID_TEST ON RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" PROCESSORS ${BARID_COMPUTES})
endfunction()

# barid_protos(NAME PROTOS api-relative paths ... DEPS other proto libraries ...): messages as barid_NAME, and, with gRPC,
# the service code of every proto that declares one as barid_NAME_services (SERVICES lists those protos).
function(barid_protos name)
  cmake_parse_arguments(ARG "" "" "PROTOS;SERVICES;DEPS" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/api)
  set(sources)
  foreach(proto ${ARG_PROTOS})
    string(REPLACE ".proto" ".pb" stem ${proto})
    add_custom_command(
      OUTPUT ${out}/${stem}.cc ${out}/${stem}.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND protobuf::protoc -I${CMAKE_SOURCE_DIR}/api --cpp_out=${out} ${proto}
      DEPENDS ${CMAKE_SOURCE_DIR}/api/${proto} COMMENT "protoc ${proto}" VERBATIM)
    list(APPEND sources ${out}/${stem}.cc)
  endforeach()
  add_library(barid_${name} STATIC ${sources})
  target_include_directories(barid_${name} SYSTEM PUBLIC ${out})
  target_link_libraries(barid_${name} PUBLIC protobuf::libprotobuf ${ARG_DEPS})
  if(BARID_SANITIZE)
    # Not looked at, no more than libprotobuf is, and not optimised: it took a quarter of the whole build.
    target_compile_options(barid_${name} PRIVATE -O0)
    if(BARID_SANITIZE MATCHES fuzzer-no-link)
      target_compile_options(barid_${name} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
  endif()
  if(BARID_GRPC AND ARG_SERVICES)
    set(service_sources)
    foreach(proto ${ARG_SERVICES})
      string(REPLACE ".proto" ".grpc.pb" stem ${proto})
      add_custom_command(
        OUTPUT ${out}/${stem}.cc ${out}/${stem}.h
        COMMAND protobuf::protoc -I${CMAKE_SOURCE_DIR}/api --grpc_out=${out}
                --plugin=protoc-gen-grpc=${BARID_GRPC_CPP_PLUGIN} ${proto}
        DEPENDS ${CMAKE_SOURCE_DIR}/api/${proto} COMMENT "protoc --grpc ${proto}" VERBATIM)
      list(APPEND service_sources ${out}/${stem}.cc)
    endforeach()
    add_library(barid_${name}_services STATIC ${service_sources})
    target_link_libraries(barid_${name}_services PUBLIC barid_${name} gRPC::grpc++)
  endif()
endfunction()
