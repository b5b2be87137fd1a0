# What `cmake --install` puts where, besides the programs and man pages (tools/). Headers
# keep their tree under include/pare, so that #include "runtime/..." works with the flags
# that pkg-config gives.
install(TARGETS pare DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(room runtime libquant libprune libdistill datasets eval)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${room})
    install(DIRECTORY ${room} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pare
      FILES_MATCHING PATTERN "*.h")
  endif()
endforeach()

# A static library cannot say what it needs: pkg-config says it for every user, also
# without --static.
get_target_property(type pare TYPE)
if(type STREQUAL "STATIC_LIBRARY")
  set(PC_REQUIRES zlib)
  set(PC_LIBS "${OpenMP_C_FLAGS} -lm")
endif()
configure_file(cmake/pare.pc.in pare.pc.install @ONLY)
# --prefix may differ from the configured one, so the prefix is filled in when installing.
install(CODE "
  file(READ \"${CMAKE_BINARY_DIR}/pare.pc.install\" text)
  string(REPLACE \"prefix=${CMAKE_INSTALL_PREFIX}\\n\" \"prefix=\${CMAKE_INSTALL_PREFIX}\\n\" text \"\${text}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/pare.pc\" \"\${text}\")")
install(FILES ${CMAKE_BINARY_DIR}/pare.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

file(GLOB documents CONFIGURE_DEPENDS docs/*.md)
install(DIRECTORY docs/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/pare
  FILES_MATCHING PATTERN "*.json")
install(FILES README.md NEWS.md LICENSE ${documents} DESTINATION ${CMAKE_INSTALL_DOCDIR})
