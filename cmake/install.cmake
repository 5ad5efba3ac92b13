# What `cmake --install` puts where: binaries, Lua, the configuration and the systemd unit.
install(TARGETS rucat RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS rucat-engine RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY lua/ DESTINATION ${CMAKE_INSTALL_DATADIR}/rucat/lua)
install(FILES etc/rucat.lua DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/rucat)
install(FILES etc/rucat.service DESTINATION lib/systemd/system)
