# SPDX-License-Identifier: Apache-2.0
# Fails where the controller, recording, service or actuators name a tunable in a file that is not a resource's: those
# that controller/resources.cpp includes are.

file(READ ${SOURCE_DIR}/userspace/controller/resources.cpp resources)
set(faults "")
foreach(room controller recording service actuators)
    file(GLOB sources ${SOURCE_DIR}/userspace/${room}/*.cpp ${SOURCE_DIR}/userspace/${room}/*.hpp)
    foreach(source ${sources})
        file(STRINGS ${source} lines REGEX "TunableId::")
        get_filename_component(name ${source} NAME_WE)
        if(lines AND NOT resources MATCHES "\"${room}/${name}\\.hpp\"")
            string(APPEND faults "${source}: ${lines}\n")
        endif()
    endforeach()
endforeach()
if(faults)
    message(FATAL_ERROR "a tunable is named outside its resource:\n${faults}")
endif()
