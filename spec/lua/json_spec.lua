-- rucat.json: strict, and what goes in comes out again.

describe("rucat.json", function()
  local json = rucat.json

  local function refused(text)
    local value, why, code = json.decode(text)
    assert.is_nil(value)
    assert.is_string(why)
    assert.are.equal("INVALID", code)
  end

  it("decodes values of each kind", function()
    local value = json.decode('{"a":[1,2.5,"x",true,false,null,{}],"b":{}}')
    assert.are.equal(1, value.a[1])
    assert.are.equal("integer", math.type(value.a[1]))
    assert.are.equal("float", math.type(value.a[2]))
    assert.are.equal("x", value.a[3])
    assert.is_true(value.a[4])
    assert.is_false(value.a[5])
    assert.are.equal(json.null, value.a[6])
    assert.are.same({}, value.b)
    assert.are.equal(3, (json.decode("3")))
  end)

  it("refuses what is no JSON", function()
    for _, text in ipairs({
      "", " ", "{", "[1,]", '{"a":1,}', "NaN", "[NaN]", "Infinity", "-Infinity", "0x10", "01", "+1",
      ".5", "1.", "'a'", "{a:1}", "[1] 2", "nul", '"\t"', '"\\x"', '"\xff"', "\xef\xbb\xbf{}",
      '{"a":1}}', "[1 2]", '"\\ud800"', "// x\n1",
    }) do
      refused(text)
    end
  end)

  it("refuses a key that is there twice", function()
    refused('{"a":1,"a":2}')
    refused('[{"b":{"a":1,"a":1}}]')
  end)

  it("says where it is wrong", function()
    local _, why = json.decode('{\n"a": x}')
    assert.matches("line 2", why)
  end)

  it("keeps integers and floats apart", function()
    assert.are.equal("9007199254740993", json.encode((json.decode("9007199254740993"))))
    assert.are.equal("[1,1.0,0.1,-0.5]", json.encode(json.decode("[1,1.0,0.1,-0.5]")))
    assert.are.equal("9223372036854775807", json.encode(math.maxinteger))
    assert.are.equal(math.mininteger, (json.decode(json.encode(math.mininteger))))
    refused("9223372036854775808")
    refused("1e999")
  end)

  it("tells an empty list from an empty object", function()
    assert.are.equal("[]", json.encode(json.array()))
    assert.are.equal("[]", json.encode(json.array({})))
    assert.are.equal("{}", json.encode({}))
    assert.are.equal('{"a":[]}', json.encode(json.decode('{"a":[]}')))
    assert.are.equal('{"a":{}}', json.encode(json.decode('{"a":{}}')))
  end)

  it("refuses to write what has no JSON", function()
    for _, value in ipairs({
      0 / 0, math.huge, -math.huge, print, { [1.5] = 1 }, { 1, nil, 3, x = 1 },
      { [true] = 1 },
    }) do
      assert.has_error(function()
        json.encode(value)
      end)
    end
    assert.has_error(function()
      json.encode()
    end)
  end)

  it("writes UTF-8 whatever it is given", function()
    for _, text in ipairs({ "\xff\xfe", "a\xc3", "\xed\xa0\x80", "\xc0\xaf" }) do
      local written = json.encode({ [text] = text })
      assert.is_truthy(utf8.len(written))
      assert.is_table((json.decode(written)))
    end
  end)

  it("does not follow a loop for ever", function()
    local loop = {}
    loop.self = loop
    assert.has_error(function()
      json.encode(loop)
    end)
  end)

  it("bounds how deep a text may be nested", function()
    local deep = ("["):rep(100000) .. ("]"):rep(100000)
    local ok, value, why = pcall(json.decode, deep)
    assert.is_true(ok)
    assert.is_nil(value)
    assert.is_string(why)
    assert.is_table((json.decode(("["):rep(50) .. ("]"):rep(50))))
  end)

  it("writes text of all kinds so that it reads back", function()
    for _, text in ipairs({ "", "\"\\/\b\f\n\r\t\1\31\127", "äöü €", "𝄞", "</script>" }) do
      assert.are.equal(text, (json.decode(json.encode(text))))
    end
    assert.are.equal("𝄞", (json.decode('"\\ud834\\udd1e"')))
  end)
end)
