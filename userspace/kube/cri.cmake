# SPDX-License-Identifier: Apache-2.0
# The messages and calls of userspace/kube/cri.proto, and gRPC without TLS, which a Unix socket has no use for.
find_program(PROTOC protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
foreach(library grpc++_unsecure grpc_unsecure gpr protobuf-lite absl_synchronization)
    find_library(${library}_LIBRARY ${library} REQUIRED)
    list(APPEND GRPC_LIBRARIES ${${library}_LIBRARY})
endforeach()

# add_protocol(TARGET FILE.proto): a library with what the compiler of protocols makes of it.
function(add_protocol target proto)
    get_filename_component(directory ${proto} DIRECTORY)
    get_filename_component(name ${proto} NAME_WE)
    set(generated ${CMAKE_BINARY_DIR}/generated/${target})
    set(sources ${generated}/${name}.pb.cc ${generated}/${name}.grpc.pb.cc)
    set(headers ${generated}/${name}.pb.h ${generated}/${name}.grpc.pb.h)
    file(MAKE_DIRECTORY ${generated})
    add_custom_command(OUTPUT ${sources} ${headers}
        COMMAND ${PROTOC} --proto_path=${directory} --cpp_out=${generated} --grpc_out=${generated}
                --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${proto}
        DEPENDS ${proto}
        COMMENT "Generating ${name}.pb.h")
    add_library(${target} STATIC ${sources})
    target_compile_options(${target} PRIVATE -w) # it is nobody's to mend
    target_include_directories(${target} SYSTEM PUBLIC ${generated})
    target_link_libraries(${target} PUBLIC ${GRPC_LIBRARIES} Threads::Threads)
endfunction()

add_protocol(cri_protocol ${CMAKE_SOURCE_DIR}/userspace/kube/cri.proto)
