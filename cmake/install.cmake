# What `cmake --install` puts where: binaries, Lua, the man page, the configuration and the systemd unit.
install(TARGETS rucat rucat-engine RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY lua/ DESTINATION ${CMAKE_INSTALL_DATADIR}/rucat/lua)
install(DIRECTORY types/ DESTINATION ${CMAKE_INSTALL_DATADIR}/rucat/types)
install(FILES etc/rucat.service etc/rucat.socket DESTINATION lib/systemd/system)
install(FILES docs/rucat.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
# The configuration is the operator's: one that is there is left alone.
install(CODE "
  set(config \"\$ENV{DESTDIR}/etc/rucat\")
  if(NOT EXISTS \"\${config}/rucat.lua\")
    file(INSTALL \"${PROJECT_SOURCE_DIR}/etc/rucat.lua\" DESTINATION /etc/rucat)
  else()
    message(STATUS \"\${config}/rucat.lua is there already: left alone\")
  endif()")
