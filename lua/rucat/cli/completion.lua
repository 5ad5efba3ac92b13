-- rucat/cli/completion.lua - completion scripts, made of the commands' own tables so that they know
-- every command and option there is. Names of engines are asked of the server as they are needed,
-- with a second of patience and no word when there is none.

local args = require("rucat.cli.args")

-- Commands that are not this client's: what they take.
local OTHERS = {
  { "serve", "run the server", "-c --config --mode --listen --role --state-dir -h --help" },
  { "console", "a shell inside the server", "-s -e -h --help" },
  { "run", "run a Lua script", "-h --help" },
  { "store", "copy all from one store to another",
    "--from --to --overwrite --user --password-file --namespace --database --ca-file -c --config -o -h --help" },
  { "check", "check configuration and scripts", "-c --config --strict --try -h --help" },
  { "schema", "print the tables in SurrealDB", "" },
  { "version", "print the version", "" },
}

local function options_of(command)
  local words = {}
  for _, list in ipairs({ command.options or {}, args.common }) do
    for _, option in ipairs(list) do
      words[#words + 1] = option.short
      words[#words + 1] = option[1]
    end
  end
  return table.concat(words, " ")
end

-- The options of a command whose value is one of a few words: { { "--for", "Running Stopped" }, ... }
local function choices_of(command)
  local list = {}
  for _, option in ipairs(command.options or {}) do
    if option.one_of then
      list[#list + 1] = { option[1], table.concat(option.one_of, " ") }
    end
  end
  return list
end

local function takes_engine(command)
  local slot = (command.positional or {})[1]
  return slot == "ENGINE" or slot == "[ENGINE]"
end

local function names_of(commands)
  local names = table.move(commands.order, 1, #commands.order, 1, {})
  for _, other in ipairs(OTHERS) do
    names[#names + 1] = other[1]
  end
  return names
end

local BASH = [==[
# bash completion for rucat: source <(rucat completion bash)
_rucat_engines() {
    timeout 2 rucat list -o json 2>/dev/null | sed -n 's/^    "name": "\([a-z0-9-]*\)",\{0,1\}$/\1/p'
}
_rucat() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --url | --token-file | -o | --output) ((i++)) ;;
        -*) ;;
        *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $before in
    -o | --output) COMPREPLY=($(compgen -W json -- "$word")); return ;;
    --from | --to | --password-file | --ca-file) COMPREPLY=($(compgen -f -- "$word")); return ;;
    -f | --file | --token-file | -c | --config)
        case $command:$before in
        logs:-f | events:-f) ;;
        *) COMPREPLY=($(compgen -f -- "$word")); return ;;
        esac ;;
    esac
    case $command:$before in
@CHOICES@    esac
    if [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "@COMMANDS@" -- "$word"))
    elif [[ $word == -* ]]; then
        case $command in
@OPTIONS@        esac
    else
        case $command in
        @ENGINES@) COMPREPLY=($(compgen -W "$(_rucat_engines)" -- "$word")) ;;
        completion) COMPREPLY=($(compgen -W "bash zsh" -- "$word")) ;;
        try) COMPREPLY=($(compgen -f -- "$word")) ;;
        run) COMPREPLY=($(compgen -f -- "$word")) ;;
        store) COMPREPLY=($(compgen -W copy -- "$word")) ;;
        esac
    fi
}
complete -F _rucat rucat
]==]

local function bash(commands)
  local options, choices, engines = {}, {}, {}
  for _, name in ipairs(commands.order) do
    local command = commands[name]
    options[#options + 1] = ('        %s) COMPREPLY=($(compgen -W "%s" -- "$word")) ;;\n'):format(
      name, options_of(command))
    for _, choice in ipairs(choices_of(command)) do
      choices[#choices + 1] = ('    %s:%s) COMPREPLY=($(compgen -W "%s" -- "$word")); return ;;\n'):format(
        name, choice[1], choice[2])
    end
    if takes_engine(command) then
      engines[#engines + 1] = name
    end
  end
  for _, other in ipairs(OTHERS) do
    options[#options + 1] = ('        %s) COMPREPLY=($(compgen -W "%s" -- "$word")) ;;\n'):format(
      other[1], other[3])
  end
  return (BASH:gsub("@(%u+)@", {
    CHOICES = table.concat(choices), OPTIONS = table.concat(options),
    ENGINES = table.concat(engines, " | "), COMMANDS = table.concat(names_of(commands), " "),
  }))
end

local ZSH = [==[
#compdef rucat
# zsh completion for rucat: source <(rucat completion zsh), or as a file _rucat in $fpath
_rucat_engines() {
    local -a names
    names=(${(f)"$(timeout 2 rucat list -o json 2>/dev/null | sed -n 's/^    "name": "\([a-z0-9-]*\)",\{0,1\}$/\1/p')"})
    _describe engine names
}
_rucat() {
    local -a commands
    commands=(
@COMMANDS@    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    ((CURRENT--))
    case $command in
@OPTIONS@    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _rucat "$@"; else compdef _rucat rucat; fi
]==]

-- A text inside [...] of _arguments, inside single quotes.
local function quoted(words)
  return (words:gsub("[%[%]:\\]", "\\%0"):gsub("'", "'\\''"))
end

-- What completes an option's value.
local function action(option)
  if option.one_of then
    return "(" .. table.concat(option.one_of, " ") .. ")"
  elseif option.value == "FILE" then
    return "_files"
  elseif option.value == "json" then
    return "(json)"
  end
  return " "
end

local function zsh_option(option)
  local lines = {}
  for _, name in ipairs({ option.short or option[1], option.short and option[1] or nil }) do
    lines[#lines + 1] = ("            '%s%s[%s]%s' \\\n"):format(option.many and "*" or "", name,
      quoted(option.about), option.value and ":" .. quoted(option.value) .. ":" .. action(option) or "")
  end
  return table.concat(lines)
end

local function zsh_slot(slot)
  local what = slot:match("ENGINE") and "_rucat_engines" or slot == "SHELL" and "(bash zsh)"
    or slot == "FILE" and "_files" or " "
  return ("            '%s%s:%s'"):format(slot:match("^%[") and "::" or ":", slot:match("%w+"):lower(), what)
end

local function zsh(commands)
  local lines, options = {}, {}
  local function line(name, about)
    lines[#lines + 1] = ("        '%s:%s'\n"):format(name, (about:gsub("'", "'\\''"):gsub(":", "\\:")))
  end
  for _, name in ipairs(commands.order) do
    local command, all = commands[name], {}
    line(name, command.about)
    for _, list in ipairs({ command.options or {}, args.common }) do
      for _, option in ipairs(list) do
        all[#all + 1] = zsh_option(option)
      end
    end
    for _, slot in ipairs(command.positional or {}) do
      all[#all + 1] = zsh_slot(slot) .. " \\\n"
    end
    options[#options + 1] = ("        %s)\n            _arguments \\\n%s ;;\n"):format(
      name, (table.concat(all):gsub(" \\\n$", "")))
  end
  for _, other in ipairs(OTHERS) do
    line(other[1], other[2])
  end
  options[#options + 1] = "        *) _files ;;\n"
  return (ZSH:gsub("@(%u+)@", { COMMANDS = table.concat(lines), OPTIONS = table.concat(options) }))
end

local shells = { bash = bash, zsh = zsh }

-- The script for that shell; nil for one that is not known.
return function(shell, commands)
  return shells[shell] and shells[shell](commands)
end
